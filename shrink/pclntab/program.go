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

// magic begins the table of Go 1.20 and later: abi.Go120PCLnTabMagic.
const magic = 0xfffffff1

// goFuncWord says, for each Go version that is known, which word of the module's data (runtime.moduledata)
// is the address of the functions' data. The words before it are the same in all of them.
var goFuncWord = map[string]int{"1.26": 40, "1.27": 43}

// GoReleases lists the Go releases whose programs can be stripped, as in 1.26.
func GoReleases() []string { return slices.Sorted(maps.Keys(goFuncWord)) }

// machines are the processors of this project's platforms.
var machines = []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64, elf.EM_ARM}

// le is how all platforms of this project have their numbers.
var le = binary.LittleEndian

// program is a linked Go program with the places of its function table.
type program struct {
	content []byte
	ptrSize int
	// quantum is what lengths of code are multiples of.
	quantum int
	// What follows are ranges of content. units says which files each compilation unit numbers.
	names, units, files, pcTables, records span
	functions                              int
	// data is where the functions' data begins in content, and dataEnd where its section ends.
	data, dataEnd int
	textStart     uint64
	goVersion     string
}

type span struct{ begin, end int }

// parse finds the function table of a program, and refuses one that it doesn't know exactly.
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
		return nil, fmt.Errorf("the function table of %s is not known; of Go %s it is", info.GoVersion, strings.Join(GoReleases(), " and "))
	}
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(machines, file.Machine) || file.Data != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("a program for %v is not known", file.Machine)
	}
	if file.Type != elf.ET_EXEC {
		// The addresses in a crash would not be those of the file.
		return nil, errors.New("the program has no fixed address (it was built with -buildmode=pie, or is a library)")
	}
	if err := p.locate(file, word); err != nil {
		return nil, fmt.Errorf("the function table is not as %s has it: %w", info.GoVersion, err)
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
	header := p.content[table.Offset : table.Offset+table.Size]
	if len(header) < 8 || le.Uint32(header) != magic || header[4] != 0 || header[5] != 0 {
		return errors.New("it begins otherwise")
	}
	p.quantum, p.ptrSize = int(header[6]), int(header[7])
	if want := map[elf.Class]int{elf.ELFCLASS32: 4, elf.ELFCLASS64: 8}[file.Class]; p.ptrSize != want {
		return fmt.Errorf("its pointers have %d bytes, the program's %d", p.ptrSize, want)
	}
	if len(header) < 8+8*p.ptrSize || module.Size < uint64(goFunc+1)*uint64(p.ptrSize) {
		return errors.New("it is cut short")
	}
	p.functions = int(p.word(int(table.Offset)+8, 0))
	// Where the parts begin: names, compilation units, files, pc tables, function records.
	var at [6]uint64
	for i := range 5 {
		at[i] = p.word(int(table.Offset)+8, 3+i)
		if i > 0 && at[i] < at[i-1] || at[i] > table.Size {
			return errors.New("its parts are not in order")
		}
	}
	at[5] = table.Size

	// The module's data says the same: the table's address, then a slice for each part, then one of the functions.
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
		return errors.New("the module has another number of functions")
	}
	p.textStart = words(22)

	// The functions' data is behind the records, in the same section or in one of its own.
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

// word is the i-th pointer-sized number from a place.
func (p *program) word(place, i int) uint64 {
	place += i * p.ptrSize
	if p.ptrSize == 4 {
		return uint64(le.Uint32(p.content[place:]))
	}
	return le.Uint64(p.content[place:])
}
