// Package verify checks the content of an image before the image is written: the router's CPU must be able to run
// each binary, binaries must need nothing but the kernel, and links must lead to a file.
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

// Binary checks that a file is a static Linux executable that the platform can run. The error names the file, and
// what was found and expected. A program for an older ARM version passes, because a newer processor runs it: many
// projects only publish programs for ARMv6.
//
// Packing and stripping remove information. A binary that lacks information passes; one that contradicts the platform
// doesn't. The ARM float ABI is only checked if the C compiler recorded it, and GOARM only if Go's build information
// is still there. In a packed binary, only the unpacking code and the launcher's header can be checked. That code is
// static even if the program inside isn't, so check programs before packing, too.
func Binary(path string, t platform.Target) error { return checkPath(path, t, check) }

// Built checks a program that this project compiled itself. It must pass Binary, and must be built for exactly this
// platform, not for an older version of its processor.
func Built(path string, t platform.Target) error {
	return checkPath(path, t, func(r io.ReaderAt, size int64, t platform.Target) error {
		if err := check(r, size, t); err != nil {
			return err
		}
		return checkExact(r, t)
	})
}

func checkPath(path string, t platform.Target, check func(io.ReaderAt, int64, platform.Target) error) error {
	// Opening a named pipe would block until there is a writer.
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

// check returns an error for the first problem with a binary of the given size.
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
	// A static executable that can be loaded at any address has the type of a shared library, but unlike one, it has
	// an entry point.
	if file.Type == elf.ET_EXEC || file.Type == elf.ET_DYN && file.Entry != 0 {
		return nil
	}
	return fmt.Errorf("is of type %s, but %s needs an executable", file.Type, t)
}

// checkWhole returns an error if a file was cut short, even if its headers are complete.
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
			// A loader's path is no longer than any other path.
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

// needsLibraries looks for DT_NEEDED in the segment, because stripping may remove the sections in which the elf
// package looks for it.
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

// The elf package has no names for the ARM flags in an ELF header.
const (
	armEABI      = 0xff000000
	armEABI5     = 0x05000000
	armSoftFloat = 0x00000200
	armHardFloat = 0x00000400
)

func checkARM(r io.ReaderAt, size int64, t platform.Target) error {
	// The elf package does not return the flags.
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

// checkGo compares the ARM version that a Go program was built for. Nothing else in the file shows it. On ARMv5, a
// program for ARMv7 crashes with an illegal instruction.
func checkGo(r io.ReaderAt, t platform.Target) error {
	if given, version := goARM(r); version > t.GOARM { // one digit each
		return fmt.Errorf("was built with GOARM=%s, but %s needs GOARM=%s or lower", given, t, t.GOARM)
	}
	return nil
}

// checkExact returns an error if a binary was built for an older processor than the platform's.
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

// goARM returns the GOARM setting of a Go program, for example "6,softfloat", and the ARM version in it. Both are
// empty for other programs, packed programs and other processors.
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
