package launcher_test

import (
	"encoding/binary"
	"math/rand/v2"

	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// machines are the processors that the packer supports: amd64, arm64, arm.
var machines = []int{62, 183, 40}

// program is a small ELF file for the packer.
type program struct {
	machine  int
	sections []section
	// records is the offset of the function table in its section, record the size of a function's record in it, and
	// frames the offset of the pc table with the sizes of frames in a record.
	records, record, frames int
}

type section struct {
	name    string
	content []byte
}

// header has the fields that a test may want to be wrong.
type header struct {
	class, order byte
	sections     uint64 // where their headers are
	count, names uint16
	odd          bool
	namesPlace   uint64
	namesSize    int64
	name, place  uint64 // of the first section
}

// goProgram has random code, including calls, and a table of functions of 16 bytes each.
func goProgram(machine, functions int) program { return goProgramWithRecords(machine, functions, 44) }

// shortProgram is a goProgram whose table has short records.
func shortProgram(machine, functions int) program {
	p := goProgramWithRecords(machine, functions, 20)
	binary.LittleEndian.PutUint32(p.sections[2].content, pclntab.ShortMagic)
	return p
}

func goProgramWithRecords(machine, functions, record int) program {
	random := rand.New(rand.NewPCG(uint64(machine), uint64(functions)))
	code := make([]byte, 16*functions)
	for i := range code {
		code[i] = byte(random.Uint32())
	}
	for at := 0; at+8 <= len(code); at += 8 {
		switch machine {
		case 62: // CALL
			code[at] = 0xe8
			binary.LittleEndian.PutUint32(code[at+1:], uint32(16*random.IntN(functions)-at-5))
		case 183: // BL
			binary.LittleEndian.PutUint32(code[at:], 0x94000000|uint32(4*random.IntN(functions)-at/4)&0x3ffffff)
		case 40: // BL, and a load of a constant
			binary.LittleEndian.PutUint32(code[at:], 0xeb000000|uint32(4*random.IntN(functions)-at/4-2)&0xffffff)
			binary.LittleEndian.PutUint32(code[at+4:], 0xe59f1000|uint32(random.IntN(4))<<2)
		}
	}
	pointer := 8
	if machine == 40 {
		pointer = 4
	}
	pcs := 8 + 8*pointer
	table := pcs + 32
	alignment, frames := pointer, 16
	if record < 44 {
		alignment, frames = 4, 12
	}
	align := func(n int) int { return (n + alignment - 1) / alignment * alignment }
	first := align(8*functions + 4)
	content := make([]byte, table+first)
	put := func(at int, v int) { binary.LittleEndian.PutUint32(content[at:], uint32(v)) }
	put(8, functions)
	put(8+6*pointer, pcs)
	put(8+7*pointer, table)
	for i := range 32 {
		content[pcs+i] = byte(random.IntN(3))
	}
	for i := range functions {
		place := len(content) - table
		put(table+8*i, 16*i)
		put(table+8*i+4, place)
		data := i % 3
		content = append(content, make([]byte, align(record+4*data))...)
		put(table+place, 16*i)
		put(table+place+frames, i%32)
		content[table+place+record-1] = byte(data)
		for k := range data {
			put(table+place+record+4*k, int(random.Uint32()))
		}
	}
	put(table+8*functions, 16*functions)
	return program{machine, []section{{".text", code}, {".rodata", []byte("constants")}, {".gopclntab", content}, {".data", make([]byte, 9000)}}, table, record, frames}
}

// function returns the place in the table with the beginning of a function.
func (p program) function(i int) []byte { return p.sections[2].content[p.records+8*i:] }

// withTables returns the program with tables like those of a real one, which the packer converts: all functions share a
// pc table, whose value changes at their end, and their data has small numbers.
func (p program) withTables() program {
	step := byte(16)
	if p.machine != 62 {
		step = 4 // instructions
	}
	content := p.sections[2].content
	copy(content[p.records-32:p.records], append([]byte{0, 2, step, 0}, make([]byte, 28)...))
	for i := range binary.LittleEndian.Uint32(content[8:]) {
		record := uint32(p.records) + binary.LittleEndian.Uint32(p.function(int(i))[4:])
		binary.LittleEndian.PutUint32(content[int(record)+p.frames:], 1)
		for k := range uint32(content[record+uint32(p.record)-1]) {
			binary.LittleEndian.PutUint32(content[record+uint32(p.record)+4*k:], i+k)
		}
	}
	return p
}

// bytes returns the file after one change.
func (p program) bytes(change func(*header)) []byte {
	size, word := 64, 8 // of a section's header, of a number
	h := header{class: 2, order: 1, count: uint16(len(p.sections) + 2), names: uint16(len(p.sections) + 1)}
	if p.machine == 40 {
		size, word, h.class = 40, 4, 1
	}
	names := []byte{0}
	file := make([]byte, 64)
	type placed struct{ name, place, size uint64 }
	var all []placed
	for _, s := range p.sections {
		all = append(all, placed{uint64(len(names)), uint64(len(file)), uint64(len(s.content))})
		names, file = append(append(names, s.name...), 0), append(file, s.content...)
	}
	h.namesPlace, h.namesSize = uint64(len(file)), int64(len(names))
	file = append(file, names...)
	for len(file)%8 != 0 {
		file = append(file, 0)
	}
	h.sections = uint64(len(file))
	h.name, h.place = all[0].name, all[0].place
	if change != nil {
		change(&h)
	}
	if h.odd {
		file = append(file, 0)
		h.sections++
	}
	if h.namesSize < 0 {
		h.namesSize += int64(len(names))
	}
	all[0].name, all[0].place = h.name, h.place
	all = append(append([]placed{{}}, all...), placed{0, h.namesPlace, uint64(h.namesSize)})
	number := func(to []byte, v uint64) {
		if word == 8 {
			binary.LittleEndian.PutUint64(to, v)
		} else {
			binary.LittleEndian.PutUint32(to, uint32(v))
		}
	}
	for _, s := range all {
		begin := len(file)
		file = append(file, make([]byte, size)...)
		binary.LittleEndian.PutUint32(file[begin:], uint32(s.name))
		binary.LittleEndian.PutUint32(file[begin+4:], 1)
		number(file[begin+8+2*word:], s.place)
		number(file[begin+8+3*word:], s.size)
	}
	copy(file, "\x7fELF")
	file[4], file[5], file[6] = h.class, h.order, 1
	binary.LittleEndian.PutUint16(file[16:], 2)
	binary.LittleEndian.PutUint16(file[18:], uint16(p.machine))
	number(file[24+2*word:], h.sections)
	end := 24 + 3*word + 4 // behind the flags
	binary.LittleEndian.PutUint16(file[end+8:], h.count)
	binary.LittleEndian.PutUint16(file[end+10:], h.names)
	return file
}
