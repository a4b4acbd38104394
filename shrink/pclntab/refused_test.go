package pclntab_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// section returns the content of a section.
func section(t *testing.T, content []byte, name string) []byte {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	s := file.Section(name)
	if s == nil {
		t.Fatalf("no section %s", name)
	}
	return content[s.Offset : s.Offset+s.Size]
}

// refused checks that Strip and Symbols return an error, and that the program doesn't change.
func refused(t *testing.T, content []byte, want string) {
	t.Helper()
	before := bytes.Clone(content)
	if err := pclntab.Strip(content); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Strip: %v; want %q", err, want)
	}
	if _, err := pclntab.Symbols(content); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Symbols: %v; want %q", err, want)
	}
	if !bytes.Equal(content, before) {
		t.Error("the content has changed")
	}
}

func TestDamagedProgramsAreRefused(t *testing.T) {
	whole := read(t, build(t, toolchains[0], native(t), "program", asTailscale...))
	version := []byte(toolchains[0])
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		damage func(content []byte) []byte
		want   string
	}{
		"nothing":          {func([]byte) []byte { return nil }, "build information"},
		"a text":           {func([]byte) []byte { return []byte("#!/bin/sh\necho hello\n") }, "build information"},
		"half a program":   {func(b []byte) []byte { return b[:len(b)/2] }, ""},
		"a later Go":       {func(b []byte) []byte { replace(t, b, version, "go1.28.0"); return b }, "unknown function table of go1.28.0: want Go 1.26 or 1.27"},
		"a development Go": {func(b []byte) []byte { replace(t, b, version, "devel +1"); return b }, "unknown function table of devel +1"},
		"another magic":    {func(b []byte) []byte { le.PutUint32(table(t, b), 0xfffffff0); return b }, "header is different"},
		"an older magic":   {func(b []byte) []byte { le.PutUint32(table(t, b), 0xfffffffb); return b }, "header is different"},
		"a newer form":     {func(b []byte) []byte { table(t, b)[4] = 1; return b }, "header is different"},
		"other pointers":   {func(b []byte) []byte { table(t, b)[7] ^= 12; return b }, "pointers"},
		"no functions":     {func(b []byte) []byte { le.PutUint64(table(t, b)[8:], 0); return b }, "number of functions"},
		"other functions":  {func(b []byte) []byte { table(t, b)[8]++; return b }, "number of functions"},
		"parts swapped":    {func(b []byte) []byte { le.PutUint64(table(t, b)[8+5*8:], 0); return b }, "not in order"},
		"parts elsewhere":  {func(b []byte) []byte { table(t, b)[8+3*8] += 8; return b }, "the module says"},
		"a part outside":   {func(b []byte) []byte { le.PutUint64(table(t, b)[8+7*8:], 1<<40); return b }, "not in order"},
		"another place":    {func(b []byte) []byte { section(t, b, ".go.module")[0]++; return b }, "the module says"},
		"no data":          {func(b []byte) []byte { clear(section(t, b, ".go.module")[40*8:][:8]); return b }, "data is not at 0x0"},
		"a cut table":      {func(b []byte) []byte { resize(t, b, ".gopclntab", 100); return b }, "not in order"},
		"hardly a table":   {func(b []byte) []byte { resize(t, b, ".gopclntab", 20); return b }, "cut short"},
		"a cut module":     {func(b []byte) []byte { resize(t, b, ".go.module", 100); return b }, "cut short"},
		"a table outside":  {func(b []byte) []byte { resize(t, b, ".gopclntab", 1<<40); return b }, "not in the file"},
		"a table too far":  {func(b []byte) []byte { resize(t, b, ".gopclntab", ^uint64(0)-100); return b }, ""},
		"no table":         {func(b []byte) []byte { replace(t, b, []byte("\x00.gopclntab\x00"), "\x00.gopclntaX\x00"); return b }, "no section .gopclntab"},
		"no module": {func(b []byte) []byte {
			replace(t, b, []byte("\x00.go.module\x00"), "\x00.go.moduleX\x00"[:12])
			return b
		}, ""},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.damage(bytes.Clone(whole)), c.want) })
	}
}

func table(t *testing.T, content []byte) []byte {
	t.Helper()
	return section(t, content, ".gopclntab")
}

// replace replaces every occurrence of a text with one of the same length.
func replace(t *testing.T, content, old []byte, with string) {
	t.Helper()
	if len(old) != len(with) || !bytes.Contains(content, old) {
		t.Fatalf("%q can't take the place of %q", with, old)
	}
	for {
		at := bytes.Index(content, old)
		if at < 0 {
			return
		}
		copy(content[at:], with)
	}
}

// resize changes the size of a section in its header.
func resize(t *testing.T, content []byte, name string, size uint64) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(file.Sections, func(s *elf.Section) bool { return s.Name == name })
	headers := binary.LittleEndian.Uint64(content[0x28:])
	const header, sizeInHeader = 64, 32
	binary.LittleEndian.PutUint64(content[headers+uint64(i)*header+sizeInHeader:], size)
}

// Damaged programs never make Strip or Symbols panic, and are never half stripped.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	whole := read(t, build(t, toolchains[0], native(t), "program", asTailscale...))
	failed := 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		content := bytes.Clone(whole)
		part := table(t, content)
		switch seed % 4 {
		case 1: // records
			begin := binary.LittleEndian.Uint64(part[8+7*8:])
			part = part[begin:]
		case 2: // the header
			part = part[:72]
		case 3:
			part = section(t, content, ".go.module")
		}
		for range 1 + random.IntN(20) {
			part[random.IntN(len(part))] = byte(random.Uint32())
		}
		before := bytes.Clone(content)
		if _, err := pclntab.Symbols(content); !bytes.Equal(content, before) {
			t.Fatalf("seed %d: Symbols has changed the content (%v)", seed, err)
		}
		if err := pclntab.Strip(content); err != nil {
			failed++
			if !bytes.Equal(content, before) {
				t.Fatalf("seed %d: the content has changed although there was an error: %v", seed, err)
			}
		}
	}
	if failed < 50 {
		t.Errorf("only %d of the damaged programs were refused", failed)
	}
}

// Programs of other forms and from other Go versions are refused. By default, only those for this
// machine and one Go release are tried, because every other one compiles a runtime.
func TestOtherProgramsAreRefused(t *testing.T) {
	t.Parallel()
	t.Run("not by Go", func(t *testing.T) { refused(t, read(t, "/bin/true"), "build information") })
	t.Run("an older Go", func(t *testing.T) {
		testmode.Long(t)
		program := build(t, unknownToolchain, native(t), "program")
		refused(t, read(t, program), "unknown function table of "+unknownToolchain+": want Go 1.26 or 1.27")
	})
	t.Run("no program", func(t *testing.T) {
		dir := t.TempDir()
		for name, text := range map[string]string{"go.mod": "module m\n\ngo 1.25\n", "m.go": "package m\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		goCommand(t, dir, environment(toolchains[0], native(t)), "build", "-o", "m.a", ".")
		refused(t, read(t, filepath.Join(dir, "m.a")), "build information")
	})
	for _, c := range []struct {
		os, architecture, mode, want string
	}{
		{"linux", "mips", "exe", "unsupported machine EM_MIPS"},
		{"linux", "mipsle", "exe", "unsupported machine EM_MIPS"},
		{"linux", "ppc64", "exe", "unsupported machine EM_PPC64"},
		{"linux", "386", "exe", "unsupported machine EM_386"},
		{"linux", "amd64", "pie", "no fixed address"},
		{"linux", "arm64", "pie", "no fixed address"},
		{"windows", "amd64", "exe", "bad magic number"},
		{"darwin", "arm64", "exe", "bad magic number"},
	} {
		t.Run(c.os+" "+c.architecture+" "+c.mode, func(t *testing.T) {
			if c.os != native(t).OS || c.architecture != native(t).Architecture {
				testmode.Long(t)
			}
			for i, toolchain := range toolchains {
				if i > 0 && !testmode.IsLong() {
					break
				}
				target := platform.Target{OS: c.os, Architecture: c.architecture}
				program := build(t, toolchain, target, "small", "-buildmode="+c.mode)
				refused(t, read(t, program), c.want)
			}
		})
	}
}
