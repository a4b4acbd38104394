package verify

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/platform"
)

// fake describes an ELF file that no installed compiler would write. Fields that are zero get the values of a valid
// binary for 32-bit ARM.
type fake struct {
	class    elf.Class
	order    binary.ByteOrder
	system   elf.OSABI
	kind     elf.Type
	machine  elf.Machine
	flags    uint32
	noEntry  bool
	segments []segment
	behind   []byte // written after the program headers
}

type segment struct {
	kind    elf.ProgType
	flags   elf.ProgFlag
	content []byte
	claim   uint32 // the size in the header, if it is not the size of content
	shift   uint32 // how far after content the header says it is
}

// code is the minimum that an executable needs.
var code = segment{kind: elf.PT_LOAD, flags: elf.PF_R | elf.PF_X, content: []byte("some code")}

func (f fake) bytes() []byte {
	or(&f.class, elf.ELFCLASS32)
	or(&f.kind, elf.ET_EXEC)
	or(&f.machine, elf.EM_ARM)
	or(&f.flags, armEABI5)
	data := elf.ELFDATA2MSB
	if f.order == nil {
		f.order, data = binary.LittleEndian, elf.ELFDATA2LSB
	}
	if f.segments == nil {
		f.segments = []segment{code}
	}
	var ident [elf.EI_NIDENT]byte
	copy(ident[:], elf.ELFMAG)
	ident[elf.EI_CLASS], ident[elf.EI_DATA], ident[elf.EI_VERSION], ident[elf.EI_OSABI] =
		byte(f.class), byte(data), byte(elf.EV_CURRENT), byte(f.system)
	entry := uint32(0x10000)
	if f.noEntry {
		entry = 0
	}

	var head, body bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&head, f.order, v); err != nil {
			panic(err)
		}
	}
	n := len(f.segments)
	if f.class == elf.ELFCLASS32 {
		const header, program = 52, 32
		put(elf.Header32{
			Ident: ident, Type: uint16(f.kind), Machine: uint16(f.machine), Version: 1, Entry: entry,
			Phoff: header, Flags: f.flags, Ehsize: header, Phentsize: program, Phnum: uint16(n),
		})
		for _, s := range f.segments {
			or(&s.claim, uint32(len(s.content)))
			put(elf.Prog32{
				Type: uint32(s.kind), Flags: uint32(s.flags), Filesz: s.claim, Memsz: s.claim,
				Off: s.shift + uint32(header+n*program+len(f.behind)+body.Len()),
			})
			body.Write(s.content)
		}
	} else {
		const header, program = 64, 56
		put(elf.Header64{
			Ident: ident, Type: uint16(f.kind), Machine: uint16(f.machine), Version: 1, Entry: uint64(entry),
			Phoff: header, Flags: f.flags, Ehsize: header, Phentsize: program, Phnum: uint16(n),
		})
		for _, s := range f.segments {
			or(&s.claim, uint32(len(s.content)))
			put(elf.Prog64{
				Type: uint32(s.kind), Flags: uint32(s.flags), Filesz: uint64(s.claim), Memsz: uint64(s.claim),
				Off: uint64(s.shift) + uint64(header+n*program+len(f.behind)+body.Len()),
			})
			body.Write(s.content)
		}
	}
	head.Write(f.behind)
	head.Write(body.Bytes())
	return head.Bytes()
}

// or sets a value that is still zero.
func or[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// store writes a binary to disk.
func store(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// compile compiles a small Go program for the platform, stripped as in the image.
func compile(t *testing.T, tg platform.Target) string {
	t.Helper()
	directory := t.TempDir()
	source := filepath.Join(directory, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"hello\") }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(directory, "hello")
	testtools.BuildFor(t, tg, binary, source)
	return binary
}

func target(t *testing.T, name string) platform.Target {
	t.Helper()
	found, err := platform.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
