package pclntab

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The runtime compares these whole names, to find the pointers in reflect's own frames and the beginning of a panic
// in a crash.
var wholeNames = []string{"reflect.makeFuncStub", "reflect.methodValueCall", "runtime.gopanic"}

// The runtime compares these prefixes, to decide where a goroutine must not be stopped, which calls of a crash are
// its own, and whether a fault is its own. The longest comes first.
var nameBeginnings = []string{"internal/runtime/atomic.", "internal/runtime/", "runtime.", "reflect."}

const (
	// unknownName has the form of a method's name, because the runtime parses the name when a method is called on a
	// nil pointer.
	unknownName = "?.(*?).?"
	// unknownRoutine has no dot, like the names of assembly functions, which a crash does not show.
	unknownRoutine = "?"
)

// shortName returns what Strip keeps of a function's name.
func shortName(name string) string {
	if slices.Contains(wholeNames, name) {
		return name
	}
	for _, beginning := range nameBeginnings {
		if strings.HasPrefix(name, beginning) {
			return beginning
		}
	}
	if !strings.Contains(name, ".") {
		return unknownRoutine
	}
	return unknownName
}

// isRuntime reports whether a function is part of the runtime, where goroutines are not stopped.
func isRuntime(name string) bool {
	return strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "internal/runtime/")
}

// Strip removes everything from the function table of a linked program that is only used to print crashes. It changes
// content in place, and leaves it unchanged if it returns an error. It returns an error if anything about the table
// is unknown.
//
// What remains is moved to the beginning of each part and followed by zeros. The layout of file and memory stays the
// same, and the zeros compress to almost nothing.
func Strip(content []byte) error { return strip(content, false) }

// StripShort does the same, and also shortens the functions' records, which leaves fewer pages of the table in memory.
// The program must be linked with a runtime that reads short records. Such a program doesn't start before it is
// stripped.
func StripShort(content []byte) error { return strip(content, true) }

func strip(content []byte, short bool) error {
	p, err := parse(content)
	if err != nil {
		return err
	}
	all, err := p.allFunctions()
	if err != nil {
		return fmt.Errorf("reading the functions: %w", err)
	}
	s := stripper{program: p, short: short, names: []byte{0}, nameAt: map[string]uint32{"": 0}, tables: []byte{0}, tableAt: map[uint32]uint32{0: 0},
		data: slices.Clone(content[p.data:p.dataEnd]), renamed: map[int]bool{}}
	if err := s.arguments(all); err != nil {
		return fmt.Errorf("reading the argument data: %w", err)
	}
	for i := range all {
		if err := s.function(&all[i]); err != nil {
			return fmt.Errorf("function %d: %w", i, err)
		}
	}
	if err := s.allTables(all); err != nil {
		return err
	}
	records := s.records(all)
	for _, part := range []struct {
		place   span
		content []byte
	}{{p.names, s.names}, {p.pcTables, s.tables}, {p.records, records}} {
		if len(part.content) > part.place.end-part.place.begin {
			return fmt.Errorf("the remaining %d bytes don't fit into %d", len(part.content), part.place.end-part.place.begin)
		}
	}
	for _, calls := range s.unused {
		if !s.renamed[calls.begin] {
			clear(s.data[calls.begin:calls.end])
		}
	}
	put := func(place span, with []byte) {
		clear(content[place.begin+copy(content[place.begin:place.end], with) : place.end])
	}
	put(p.names, s.names)
	put(p.units, nil)
	put(p.files, nil)
	put(p.pcTables, s.tables)
	put(p.records, records)
	put(span{p.data, p.dataEnd}, s.data)
	if short {
		le.PutUint32(content[p.table:], ShortMagic)
	}
	return nil
}

// stripper collects the remaining content.
type stripper struct {
	*program
	short   bool // records
	names   []byte
	nameAt  map[string]uint32
	tables  []byte
	tableAt map[uint32]uint32 // by the old offset
	data    []byte
	renamed map[int]bool // inlined calls, by their offset in the data
	unused  []span       // of the data: calls that were inlined into the runtime's functions
}

// name returns the new offset of a shortened name.
func (s *stripper) name(old uint32) (uint32, error) {
	name, err := s.text(s.program.names, old)
	if err != nil {
		return 0, fmt.Errorf("its name: %w", err)
	}
	short := shortName(name)
	at, ok := s.nameAt[short]
	if !ok {
		for s.short && len(s.names)%nameDistance > 0 {
			s.names = append(s.names, 0)
		}
		at = uint32(len(s.names))
		s.nameAt[short], s.names = at, append(append(s.names, short...), 0)
	}
	return at, nil
}

// table returns the new offset of a pc table.
func (s *stripper) table(old uint32) (uint32, error) {
	at, ok := s.tableAt[old]
	if ok {
		return at, nil
	}
	t, err := s.pcTable(old)
	if err != nil {
		return 0, err
	}
	at = uint32(len(s.tables))
	s.tableAt[old], s.tables = at, append(s.tables, t...)
	return at, nil
}

func (s *stripper) function(f *function) error {
	if err := s.inlinedCalls(f); err != nil {
		return fmt.Errorf("its inlined calls: %w", err)
	}
	if len(f.tables) > argumentIndex {
		f.tables[argumentIndex] = 0
	}
	for _, kind := range []int{argumentInfo, argumentsLiveInfo} {
		if len(f.data) > kind {
			f.data[kind] = noData
		}
	}
	for len(f.tables) > 0 && f.tables[len(f.tables)-1] == 0 {
		f.tables = f.tables[:len(f.tables)-1]
	}
	for len(f.data) > 0 && f.data[len(f.data)-1] == noData {
		f.data = f.data[:len(f.data)-1]
	}
	if len(f.tables) > math.MaxUint8 {
		return fmt.Errorf("it has %d pc tables", len(f.tables)) // damaged: the runtime has five kinds
	}
	f.setNumber(tablesOffset, uint32(len(f.tables)))
	f.fixed[dataOffset] = byte(len(f.data))
	for _, offset := range []int{pcfileOffset, pclnOffset, unitOffset, lineOffset} {
		f.setNumber(offset, 0)
	}
	name, err := s.name(f.number(nameOffset))
	if err != nil {
		return err
	}
	f.setNumber(nameOffset, name)
	if number := name / nameDistance << nameBit; s.short && (number > math.MaxUint8 || f.fixed[flagsOffset]>>nameBit != 0) {
		return errors.New("its name or its flags don't fit into a short record")
	}
	return nil
}

// allTables keeps the pc tables that functions still refer to, one function after the other: the launcher's packer
// compresses them with the function's code at hand.
func (s *stripper) allTables(all []function) error {
	for i := range all {
		f := &all[i]
		frames, err := s.table(f.number(pcspOffset))
		if err != nil {
			return fmt.Errorf("the frame sizes of function %d: %w", i, err)
		}
		f.setNumber(pcspOffset, frames)
		for kind := range f.tables {
			if f.tables[kind], err = s.table(f.tables[kind]); err != nil {
				return fmt.Errorf("pc table %d of function %d: %w", kind, i, err)
			}
		}
	}
	return nil
}

// inlinedCalls shortens the names of the calls that were inlined into a function, and removes their lines. It removes
// those in the runtime's own functions altogether: the runtime only looks at them to find out that they are its own, and
// the function's name says so, too.
func (s *stripper) inlinedCalls(f *function) error {
	begin, size, err := s.inlineTree(f)
	if err != nil || size == 0 {
		return err
	}
	name, err := s.text(s.program.names, f.number(nameOffset))
	if err != nil {
		return fmt.Errorf("the function's name: %w", err)
	}
	if isRuntime(name) {
		s.unused = append(s.unused, span{begin, begin + size})
		f.tables[inlineTreeIndex], f.data[inlineTree] = 0, noData
		return nil
	}
	for at := begin; at < begin+size; at += inlinedSize {
		if s.renamed[at] {
			continue
		}
		s.renamed[at] = true
		short, err := s.name(le.Uint32(s.data[at+inlinedNameOffset:]))
		if err != nil {
			return err
		}
		le.PutUint32(s.data[at+inlinedNameOffset:], short)
		le.PutUint32(s.data[at+inlinedLineOffset:], 0)
	}
	return nil
}

// arguments clears the data that describes how to print arguments, except where other data shares it.
func (s *stripper) arguments(all []function) error {
	inUse := map[uint32]bool{}
	for _, f := range all {
		for kind, at := range f.data {
			if kind != argumentInfo && kind != argumentsLiveInfo {
				inUse[at] = true
			}
		}
	}
	for _, f := range all {
		if len(f.data) <= argumentInfo || f.data[argumentInfo] == noData || inUse[f.data[argumentInfo]] {
			continue
		}
		at := f.data[argumentInfo]
		if int64(at) > int64(len(s.data)) {
			return errCutShort
		}
		size, err := argumentsSize(s.program.content[s.program.data+int(at) : s.dataEnd])
		if err != nil {
			return err
		}
		clear(s.data[at : int(at)+size])
	}
	return nil
}

// argumentsSize returns the size of the description of a function's arguments. An argument is a pair of bytes with
// its offset and size. Single bytes group arguments, and the largest of them ends the description.
func argumentsSize(b []byte) (int, error) {
	const single, end = 0xf0, 0xff
	for at := 0; at < len(b); at++ {
		switch {
		case b[at] == end:
			return at + 1, nil
		case b[at] < single:
			at++
		}
	}
	return 0, errCutShort
}

// records returns the list of functions, followed by their records.
func (s *stripper) records(all []function) []byte {
	old := s.content[s.program.records.begin:]
	out := make([]byte, 8*len(all)+4)
	copy(out[8*len(all):], old[8*len(all):]) // the end of the last function
	for i, f := range all {
		fixed := f.fixed[:]
		if s.short {
			name := byte(f.number(nameOffset) / nameDistance << nameBit)
			fixed = slices.Concat(fixed[:nameOffset], fixed[argsOffset:pcfileOffset],
				[]byte{fixed[idOffset], fixed[flagsOffset] | name, byte(len(f.tables)), byte(len(f.data))})
		}
		for !s.short && len(out)%s.ptrSize != 0 {
			out = append(out, 0)
		}
		le.PutUint32(out[8*i:], f.entry)
		le.PutUint32(out[8*i+4:], uint32(len(out)))
		out = append(out, fixed...)
		for _, v := range append(slices.Clone(f.tables), f.data...) {
			out = le.AppendUint32(out, v)
		}
	}
	return out
}
