package pclntab

import (
	"errors"
	"fmt"
)

// A function's record (runtime._func): fields of fixed size, then the offsets of its pc tables, then the offsets of
// its data.
//
// A short record lacks the fields that Strip clears: file, line and unit. The number of pc tables is a byte between
// the function's flags and the number of its data. That byte is otherwise unused. Names begin at multiples of 32, and
// the name's number is in the five upper bits of the flags.
const (
	fixedSize    = 44
	nameOffset   = 4
	argsOffset   = 8
	pcspOffset   = 16
	pcfileOffset = 20
	pclnOffset   = 24
	tablesOffset = 28
	unitOffset   = 32
	lineOffset   = 36
	idOffset     = 40
	flagsOffset  = 41
	dataOffset   = 43

	noData = ^uint32(0)

	// These are for short records: the distance of names, and the lowest bit of a name's number in the flags.
	nameDistance = 32
	nameBit      = 3
)

// A call that was inlined into a function (runtime.inlinedCall).
const (
	inlinedSize         = 16
	inlinedNameOffset   = 4
	inlinedParentOffset = 8
	inlinedLineOffset   = 12
)

// Indexes of pc tables and data, from internal/abi.
const (
	inlineTreeIndex = 2
	argumentIndex   = 3

	inlineTree        = 3
	argumentInfo      = 5
	argumentsLiveInfo = 6
)

type function struct {
	entry        uint32
	fixed        [fixedSize]byte
	tables, data []uint32
}

func (f *function) number(offset int) uint32       { return le.Uint32(f.fixed[offset:]) }
func (f *function) setNumber(offset int, v uint32) { le.PutUint32(f.fixed[offset:], v) }

// table returns the offset of one of the function's pc tables, or 0 if it has none.
func (f *function) table(kind int) uint32 {
	if kind >= len(f.tables) {
		return 0
	}
	return f.tables[kind]
}

// allFunctions reads the records of all functions, in the order of their code.
func (p *program) allFunctions() ([]function, error) {
	records := p.content[p.records.begin:p.records.end]
	if p.functions <= 0 || p.functions > (len(records)-4)/8 { // the list ends with the end of the code
		return nil, fmt.Errorf("no room for %d functions", p.functions)
	}
	all := make([]function, p.functions)
	for i := range all {
		f, at := &all[i], int64(le.Uint32(records[8*i+4:]))
		f.entry = le.Uint32(records[8*i:])
		if at+fixedSize > int64(len(records)) {
			return nil, fmt.Errorf("the record of function %d is outside of the table", i)
		}
		rest := records[at+int64(copy(f.fixed[:], records[at:])):]
		count, data := int64(f.number(tablesOffset)), int64(f.fixed[dataOffset])
		if f.number(0) != f.entry || 4*(count+data) > int64(len(rest)) {
			return nil, fmt.Errorf("the record of function %d is malformed", i)
		}
		for j := range count + data {
			v := le.Uint32(rest[4*j:])
			if j < count {
				f.tables = append(f.tables, v)
			} else {
				f.data = append(f.data, v)
			}
		}
	}
	return all, nil
}

var errCutShort = errors.New("a table is cut short")

// pcTable returns the pc table at an offset, including its end mark.
func (p *program) pcTable(place uint32) ([]byte, error) {
	all := p.content[p.pcTables.begin:p.pcTables.end]
	if int64(place) >= int64(len(all)) {
		return nil, errCutShort
	}
	t := all[place:]
	_, size, err := walk(t)
	return t[:size], err
}

// inlineTree returns where the list of calls inlined into a function begins, relative to the functions' data, and its
// size in bytes.
func (p *program) inlineTree(f *function) (begin, size int, err error) {
	index := f.table(inlineTreeIndex)
	if index == 0 || len(f.data) <= inlineTree || f.data[inlineTree] == noData {
		return 0, 0, nil
	}
	t, err := p.pcTable(index)
	if err != nil {
		return 0, 0, err
	}
	largest, _, err := walk(t)
	if err != nil {
		return 0, 0, err
	}
	at, length := int64(f.data[inlineTree]), inlinedSize*(int64(largest)+1)
	if at+length > int64(p.dataEnd-p.data) {
		return 0, 0, errCutShort
	}
	return int(at), int(length), nil
}

// walk reads a pc table up to its end mark, a value change of zero. A table has pairs of variable-length numbers: by
// how much the value changes, and for how much code it applies. walk returns the largest value and the table's size.
func walk(t []byte) (largest int32, size int, err error) {
	value, at := int32(-1), 0
	for first := true; ; first = false {
		change, n := variable(t[at:])
		if n == 0 {
			return 0, 0, errCutShort
		}
		at += n
		if change == 0 && !first {
			return largest, at, nil
		}
		value += int32(-(change & 1) ^ change>>1)
		largest = max(largest, value)
		if _, n = variable(t[at:]); n == 0 {
			return 0, 0, errCutShort
		}
		at += n
	}
}

// variable reads a variable-length number. size is its number of bytes, or 0 if it doesn't end.
func variable(b []byte) (v uint32, size int) {
	for i := range min(len(b), 5) {
		v |= uint32(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// text returns the zero-terminated string at an offset of a part.
func (p *program) text(part span, place uint32) (string, error) {
	all := p.content[part.begin:part.end]
	if int64(place) < int64(len(all)) {
		for i, c := range all[place:] {
			if c == 0 {
				return string(all[place : int(place)+i]), nil
			}
		}
	}
	return "", errCutShort
}
