package pclntab

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// magic is the first word of the table since Go 1.20 (abi.Go120PCLnTabMagic).
const magic = 0xfffffff1

// ShortMagic is the first word of a table with short records. Only a runtime that was changed to read them accepts it.
const ShortMagic = 0xffff00f1

// goFuncWord has the supported Go versions. The value is the index of the word in the module's data
// (runtime.moduledata) with the address of the functions' data. The words that are used before it are the same in all
// versions.
var goFuncWord = map[string]int{"1.26": 40, "1.27": 43}

// GoReleases returns the Go releases whose programs can be stripped, for example "1.26".
func GoReleases() []string { return slices.Sorted(maps.Keys(goFuncWord)) }

// machines are the processors of this project's platforms.
var machines = []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64, elf.EM_ARM}

// le is the byte order of all platforms of this project.
var le = binary.LittleEndian

// program is a linked Go program with the locations of its function table.
type program struct {
	content []byte
	ptrSize int
	// Lengths of code are multiples of quantum.
	quantum int
	// table is where the table begins in content.
	table int
	// These are ranges of content. units has the file numbers of each compilation unit.
	names, units, files, pcTables, records span
	functions                              int
	// data is where the functions' data begins in content, and dataEnd is the end of its section.
	data, dataEnd int
	textStart     uint64
	goVersion     string
}

type span struct{ begin, end int }

// errStripped is the error for a program without symbols.
var errStripped = errors.New("the program is already stripped: it has no names, files and lines")

// parse finds the function table of a program. It returns an error if anything about the table is unknown.
func parse(content []byte) (*program, error) {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("reading the build information: %w", err)
	}
	p := &program{content: content, goVersion: info.GoVersion}
	release := strings.TrimPrefix(info.GoVersion, "go")
	if parts := strings.SplitN(release, ".", 3); len(parts) > 2 {
		release = parts[0] + "." + parts[1]
	}
	word, ok := goFuncWord[release]
	if !ok {
		return nil, fmt.Errorf("unknown function table of %s: want Go %s", info.GoVersion, strings.Join(GoReleases(), " or "))
	}
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(machines, file.Machine) || file.Data != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("unsupported machine %v", file.Machine)
	}
	if file.Type != elf.ET_EXEC {
		// Otherwise the addresses in a crash would differ from those in the file.
		return nil, errors.New("the program has no fixed address (it was built with -buildmode=pie, or is a library)")
	}
	if err := p.locate(file, word); err != nil {
		return nil, fmt.Errorf("unexpected function table for %s: %w", info.GoVersion, err)
	}
	return p, nil
}

func (p *program) locate(file *elf.File, goFunc int) error {
	section := func(name string) (*elf.Section, error) {
		s := file.Section(name)
		if s == nil {
			return nil, fmt.Errorf("there is no section %s", name)
		}
		if s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 || s.Offset+s.Size > uint64(len(p.content)) {
			return nil, fmt.Errorf("the section %s is not in the file", name)
		}
		return s, nil
	}
	table, err := section(".gopclntab")
	if err != nil {
		return err
	}
	module, err := section(".go.module")
	if err != nil {
		return err
	}
	p.table = int(table.Offset)
	header := p.content[table.Offset : table.Offset+table.Size]
	if len(header) >= 4 && le.Uint32(header) == ShortMagic {
		return errStripped
	}
	if len(header) < 8 || le.Uint32(header) != magic || header[4] != 0 || header[5] != 0 {
		return errors.New("its header is different")
	}
	p.quantum, p.ptrSize = int(header[6]), int(header[7])
	if want := map[elf.Class]int{elf.ELFCLASS32: 4, elf.ELFCLASS64: 8}[file.Class]; p.ptrSize != want {
		return fmt.Errorf("its pointers have %d bytes, but the program's have %d", p.ptrSize, want)
	}
	if len(header) < 8+8*p.ptrSize || module.Size < uint64(goFunc+1)*uint64(p.ptrSize) {
		return errors.New("it is cut short")
	}
	p.functions = int(p.word(int(table.Offset)+8, 0))
	// The offsets of the parts: names, compilation units, files, pc tables, function records.
	var at [6]uint64
	for i := range 5 {
		at[i] = p.word(int(table.Offset)+8, 3+i)
		if i > 0 && at[i] < at[i-1] || at[i] > table.Size {
			return errors.New("its parts are not in order")
		}
	}
	at[5] = table.Size

	// The module's data repeats this: the table's address, then a slice for each part, then a slice of the functions.
	words := func(i int) uint64 { return p.word(int(module.Offset), i) }
	if words(0) != table.Addr {
		return fmt.Errorf("it is at %#x, but the module says %#x", table.Addr, words(0))
	}
	for i := range 5 {
		if got := words(1 + 3*i); got != table.Addr+at[i] {
			return fmt.Errorf("part %d of it is at %#x, but the module says %#x", i+1, table.Addr+at[i], got)
		}
	}
	if words(16) != table.Addr+at[4] || words(17) != uint64(p.functions)+1 {
		return errors.New("the module has a different number of functions")
	}
	p.textStart = words(22)

	// The functions' data follows the records, or has a section of its own.
	data := words(goFunc)
	for _, s := range file.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Type != elf.SHT_NOBITS && s.Addr <= data && data < s.Addr+s.Size && s.Offset+s.Size <= uint64(len(p.content)) {
			p.data, p.dataEnd = int(s.Offset+data-s.Addr), int(s.Offset+s.Size)
			if s.Name == table.Name {
				at[5] = data - table.Addr
			}
		}
	}
	if p.data == 0 || at[5] < at[4] {
		return fmt.Errorf("the functions' data is not at %#x", data)
	}
	begin := int(table.Offset)
	p.names = span{begin + int(at[0]), begin + int(at[1])}
	p.units = span{begin + int(at[1]), begin + int(at[2])}
	p.files = span{begin + int(at[2]), begin + int(at[3])}
	p.pcTables = span{begin + int(at[3]), begin + int(at[4])}
	p.records = span{begin + int(at[4]), begin + int(at[5])}
	return nil
}

// word returns the i-th pointer-sized number after place.
func (p *program) word(place, i int) uint64 {
	place += i * p.ptrSize
	if p.ptrSize == 4 {
		return uint64(le.Uint32(p.content[place:]))
	}
	return le.Uint64(p.content[place:])
}
