package pclntab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// goroutineStarts finds every call of runtime.newproc, which the compiler makes of a go statement. It returns the
// return addresses as 4-byte offsets from the beginning of the code. For the creator of a goroutine, a crash only has
// the offset in a function.
func (p *program) goroutineStarts(all []function) ([]byte, error) {
	targets := map[uint64]bool{} // the function itself and its wrapper for another calling convention
	for i := range all {
		if name, err := p.text(p.names, all[i].number(nameOffset)); err != nil {
			return nil, err
		} else if name == "runtime.newproc" {
			targets[p.textStart+uint64(all[i].entry)] = true
		}
	}
	file, err := elf.NewFile(bytes.NewReader(p.content))
	if err != nil {
		return nil, err
	}
	text := file.Section(".text")
	if text == nil || text.Addr > p.textStart || p.textStart > text.Addr+text.Size {
		return nil, fmt.Errorf("there is no code at %#x", p.textStart)
	}
	code, err := text.Data()
	if err != nil {
		return nil, err
	}
	call := calls[file.Machine]
	code = code[p.textStart-text.Addr:]
	var starts []byte
	for at := 0; at+call.size <= len(code); at += p.quantum {
		if to, ok := call.target(code[at:], p.textStart+uint64(at)); ok && targets[to] {
			starts = binary.LittleEndian.AppendUint32(starts, uint32(at+call.size))
		}
	}
	return starts, nil
}

// callInstruction decodes a processor's direct calls.
type callInstruction struct {
	size   int
	target func(code []byte, pc uint64) (to uint64, ok bool)
}

// calls has one callInstruction for each machine.
var calls = map[elf.Machine]callInstruction{
	elf.EM_X86_64: {5, func(code []byte, pc uint64) (uint64, bool) {
		return pc + 5 + uint64(int64(int32(le.Uint32(code[1:])))), code[0] == 0xe8
	}},
	elf.EM_AARCH64: {4, func(code []byte, pc uint64) (uint64, bool) {
		word := le.Uint32(code)
		return pc + uint64(int64(int32(word<<6)>>4)), word>>26 == 0x25
	}},
	elf.EM_ARM: {4, func(code []byte, pc uint64) (uint64, bool) {
		word := le.Uint32(code)
		return pc + 8 + uint64(int64(int32(word<<8)>>6)), word>>24 == 0xeb
	}},
}
