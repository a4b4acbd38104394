// Package verify checks what goes into an image, before it is made: that each binary is one that
// the router's CPU can run and that needs nothing but the kernel, and that links lead somewhere.
package verify

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// Binary checks that a file is a static Linux executable that the target can run. The error names the
// file, what was found and what the target needs. A program for an older ARM version passes, because a newer
// processor runs it: many projects publish their programs for ARMv6 alone.
//
// Packing and stripping take information away. What is missing passes, what contradicts the target
// does not: the ARM float ABI only counts where a C compiler has noted it, and GOARM where Go's build
// information is still there. Of a packed binary, only the unpacking code and what a launcher notes of
// the program can be checked, and that code is static even where the program inside is not: check
// programs before, too.
func Binary(path string, t platform.Target) error { return checkPath(path, t, check) }

// Built checks what this project has compiled itself: a file that passes Binary and was made for exactly the
// target, not for an older version of its processor.
func Built(path string, t platform.Target) error {
	return checkPath(path, t, func(r io.ReaderAt, size int64, t platform.Target) error {
		if err := check(r, size, t); err != nil {
			return err
		}
		return checkExact(r, t)
	})
}

func checkPath(path string, t platform.Target, check func(io.ReaderAt, int64, platform.Target) error) error {
	// Opening a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading the binary: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: is not a regular file, but %s needs an ELF binary", path, t)
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading the binary: %w", err)
	}
	defer file.Close()
	if err := check(file, info.Size(), t); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// check finds the first thing that is wrong with a binary of the given size.
func check(r io.ReaderAt, size int64, t platform.Target) error {
	file, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return fmt.Errorf("cannot be read as the ELF binary that %s needs: %w", t, err)
	}
	if err := checkHeader(file, t); err != nil {
		return err
	}
	if err := checkWhole(file, size); err != nil {
		return err
	}
	if err := checkStatic(file); err != nil {
		return err
	}
	if file.Machine == elf.EM_ARM {
		if err := checkARM(r, size, t); err != nil {
			return err
		}
	}
	if err := checkLauncher(r, size); err != nil {
		return err
	}
	return checkGo(r, t)
}

func checkHeader(file *elf.File, t platform.Target) error {
	switch {
	case file.Machine != t.Machine:
		return fmt.Errorf("is for %s, but %s needs %s", machine(file.Machine), t, machine(t.Machine))
	case file.Class != t.Class:
		return fmt.Errorf("is an %s file, but %s needs %s", file.Class, t, t.Class)
	case file.Data != elf.ELFDATA2LSB:
		return fmt.Errorf("has its bytes in big-endian order, but %s needs little-endian", t)
	case file.OSABI != elf.ELFOSABI_NONE && file.OSABI != elf.ELFOSABI_LINUX:
		return fmt.Errorf("is for another system (%s), but %s needs Linux", file.OSABI, t)
	}
	// A static executable that can be loaded anywhere has the type of a shared library. Unlike
	// one, it has an address to start at.
	if file.Type == elf.ET_EXEC || file.Type == elf.ET_DYN && file.Entry != 0 {
		return nil
	}
	return fmt.Errorf("is of type %s, but %s needs an executable", file.Type, t)
}

// checkWhole finds files that were cut short where the headers do not show it.
func checkWhole(file *elf.File, size int64) error {
	loaded := false
	for _, p := range file.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		loaded = true
		if p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off {
			return fmt.Errorf("is cut short: it has %d bytes, but a segment of %d bytes starts at %d", size, p.Filesz, p.Off)
		}
	}
	if !loaded {
		return fmt.Errorf("has nothing to load into memory, but an executable needs a segment with its code")
	}
	return nil
}

func checkStatic(file *elf.File) error {
	for _, p := range file.Progs {
		switch p.Type {
		case elf.PT_INTERP:
			// No loader's path is longer than a path can be.
			loader, _ := io.ReadAll(io.LimitReader(p.Open(), 4096))
			return fmt.Errorf("is started by the dynamic loader %q, but the image needs static binaries", strings.TrimRight(string(loader), "\x00"))
		case elf.PT_DYNAMIC:
			if needsLibraries(file, p) {
				return fmt.Errorf("is linked to shared libraries, but the image needs static binaries")
			}
		}
	}
	return nil
}

// needsLibraries looks for DT_NEEDED in the segment, because stripping may remove the sections that
// the elf package reads it from.
func needsLibraries(file *elf.File, dynamic *elf.Prog) bool {
	r := dynamic.Open()
	for {
		var tag elf.DynTag
		if file.Class == elf.ELFCLASS32 {
			var entry elf.Dyn32
			if binary.Read(r, file.ByteOrder, &entry) != nil {
				return false
			}
			tag = elf.DynTag(entry.Tag)
		} else {
			var entry elf.Dyn64
			if binary.Read(r, file.ByteOrder, &entry) != nil {
				return false
			}
			tag = elf.DynTag(entry.Tag)
		}
		switch tag {
		case elf.DT_NEEDED:
			return true
		case elf.DT_NULL:
			return false
		}
	}
}

// The elf package has no names for the ARM flags of an ELF header.
const (
	armEABI      = 0xff000000
	armEABI5     = 0x05000000
	armSoftFloat = 0x00000200
	armHardFloat = 0x00000400
)

func checkARM(r io.ReaderAt, size int64, t platform.Target) error {
	// The elf package does not tell the flags.
	var header elf.Header32
	if !readAt(r, 0, &header) {
		return fmt.Errorf("has no whole ELF header, but %s needs one", t)
	}
	switch {
	case header.Flags&armEABI != armEABI5:
		return fmt.Errorf("has version %d of the ARM EABI, but %s needs 5", header.Flags>>24, t)
	case header.Flags&armHardFloat != 0 && !t.HardFloat:
		return fmt.Errorf("passes floats in VFP registers (hard float), but %s needs soft float", t)
	}
	return checkUPX(r, size, header, t)
}

// checkGo compares the ARM version that a Go program was built for. Nothing else in the file tells:
// a program for ARMv7 dies on ARMv5 of an illegal instruction.
func checkGo(r io.ReaderAt, t platform.Target) error {
	if given, version := goARM(r); version > t.GOARM { // one digit each
		return fmt.Errorf("was built with GOARM=%s, but %s needs GOARM=%s or lower", given, t, t.GOARM)
	}
	return nil
}

// checkExact finds binaries that the target runs although they were made for an older one.
func checkExact(r io.ReaderAt, t platform.Target) error {
	if given, version := goARM(r); version != "" && version != t.GOARM {
		return fmt.Errorf("was built with GOARM=%s, but %s needs GOARM=%s", given, t, t.GOARM)
	}
	var header elf.Header32
	if t.HardFloat && readAt(r, 0, &header) && header.Flags&armSoftFloat != 0 {
		return fmt.Errorf("is for soft float, but %s needs hard float", t)
	}
	return nil
}

// goARM reads the setting GOARM of a Go program, as in "6,softfloat", and the ARM version in it. Both are empty for
// other programs, for packed ones, and for other processors.
func goARM(r io.ReaderAt) (setting, version string) {
	info, err := buildinfo.Read(r)
	if err != nil {
		return "", ""
	}
	for _, s := range info.Settings {
		if s.Key == "GOARM" {
			version, _, _ = strings.Cut(s.Value, ",")
			return s.Value, version
		}
	}
	return "", ""
}

func machine(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86-64"
	case elf.EM_386:
		return "x86 (32-bit)"
	case elf.EM_AARCH64:
		return "ARM (64-bit)"
	case elf.EM_ARM:
		return "ARM (32-bit)"
	}
	return m.String()
}
