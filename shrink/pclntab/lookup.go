package pclntab

import (
	"fmt"
	"slices"
	"strings"
)

// frame is one line of a crash: a call, or a call that was inlined into the next frame.
type frame struct {
	name string
	file string
	line int32
}

func (f frame) place() string { return fmt.Sprintf("%s:%d", f.file, f.line) }

// function returns the function that contains an address, and the offset of the address in it.
func (s *symbolFile) function(pc uint64) (f *function, offset uint32, ok bool) {
	at := pc - s.textStart
	end := uint64(le.Uint32(s.content[s.program.records.begin+8*len(s.all):]))
	if pc < s.textStart || at >= end {
		return nil, 0, false
	}
	i, exact := slices.BinarySearchFunc(s.all, uint32(at), func(f function, at uint32) int { return int(int64(f.entry) - int64(at)) })
	if !exact {
		i--
	}
	if i < 0 {
		return nil, 0, false
	}
	return &s.all[i], uint32(at) - s.all[i].entry, true
}

func (s *symbolFile) name(offset uint32) (string, error) { return s.text(s.names, offset) }

// frames returns the calls at an offset in a function's code, from the innermost inlined call to the function itself.
func (s *symbolFile) frames(f *function, offset uint32) ([]frame, error) {
	begin, length, err := s.inlineTree(f)
	if err != nil {
		return nil, err
	}
	var all []frame
	// Each step leads to an outer call, so there are at most as many steps as calls in the tree.
	for range length/inlinedSize + 1 {
		file, line, err := s.fileLine(f, offset)
		if err != nil {
			return nil, err
		}
		index, err := s.valueAt(f.table(inlineTreeIndex), offset)
		if err != nil {
			return nil, err
		}
		if length == 0 || index < 0 {
			name, err := s.name(f.number(nameOffset))
			return append(all, frame{name, file, line}), err
		}
		call := s.content[s.data+begin+inlinedSize*int(index):]
		name, err := s.name(le.Uint32(call[inlinedNameOffset:]))
		if err != nil {
			return nil, err
		}
		all = append(all, frame{name, file, line})
		offset = le.Uint32(call[inlinedParentOffset:])
	}
	return nil, fmt.Errorf("the inlined calls at %#x have no end", s.textStart+uint64(f.entry+offset))
}

func (s *symbolFile) fileLine(f *function, offset uint32) (string, int32, error) {
	file, err := s.valueAt(f.number(pcfileOffset), offset)
	if err != nil {
		return "", 0, err
	}
	line, err := s.valueAt(f.number(pclnOffset), offset)
	if err != nil || file < 0 || line < 0 {
		return "?", 0, err
	}
	at := int64(s.units.begin) + 4*(int64(f.number(unitOffset))+int64(file))
	if at+4 > int64(s.units.end) {
		return "", 0, errCutShort
	}
	place := le.Uint32(s.content[at:])
	if place == noData {
		return "?", 0, nil
	}
	name, err := s.text(s.files, place)
	return name, line, err
}

// valueAt returns the value of a pc table at an offset in a function's code, or -1 if there is no table.
func (s *symbolFile) valueAt(table, offset uint32) (int32, error) {
	if table == 0 {
		return -1, nil
	}
	t, err := s.pcTable(table)
	if err != nil {
		return 0, err
	}
	value, end := int32(-1), uint64(0)
	for len(t) > 1 {
		change, n := variable(t)
		length, m := variable(t[n:])
		t = t[n+m:]
		value += int32(-(change & 1) ^ change>>1)
		end += uint64(length) * uint64(s.quantum)
		if uint64(offset) < end {
			return value, nil
		}
	}
	return -1, nil
}

// printed returns a function's name as a crash prints it, without the type arguments of a generic function.
func printed(name string) string {
	if name == "runtime.gopanic" {
		return "panic"
	}
	var b strings.Builder
	depth := 0
	for _, c := range name {
		if c == '[' {
			if depth++; depth == 1 {
				b.WriteString("[...]")
			}
		}
		if depth == 0 {
			b.WriteRune(c)
		}
		if c == ']' {
			depth--
		}
	}
	return b.String()
}
