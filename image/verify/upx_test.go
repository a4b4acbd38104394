package verify

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
)

// packed returns a file as UPX writes it, from a program whose executable segment had the given size.
func packed(segmentSize uint32, signature string) fake {
	const headers = 148
	var b bytes.Buffer
	for _, part := range []any{
		upxHeader{Magic: [4]byte([]byte("UPX!")), Headers: upxBlock{Unpacked: headers, Packed: 3}},
		[]byte("abc"),
		upxBlock{Unpacked: segmentSize - headers},
		[]byte(signature),
	} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return fake{system: elf.ELFOSABI_LINUX, behind: b.Bytes()}
}

func TestBinaryPacked(t *testing.T) {
	const complaint = "UPX packed it from a program whose code fills its last page"
	amd64 := packed(1<<20, "")
	amd64.class, amd64.machine = elf.ELFCLASS64, elf.EM_X86_64
	for name, c := range map[string]struct {
		file   fake
		target string
		want   string
	}{
		"whole pages":               {packed(1<<20, ""), "arm", complaint + " (1048576 bytes), but arm needs UPX 4.2.4"},
		"whole pages, armv5":        {packed(3*4096, ""), "armv5", complaint},
		"whole pages, UPX 5":        {packed(4096, "$Id: UPX 5.02 Copyright"), "arm", complaint},
		"whole pages, UPX 4.2.4":    {packed(4096, "$Id: UPX 4.24 Copyright"), "arm", ""},
		"eight bytes more":          {packed(1<<20+8, ""), "arm", ""},
		"eight bytes less":          {packed(1<<20-8, ""), "arm", ""},
		"not packed":                {fake{}, "arm", ""},
		"only the magic":            {fake{behind: []byte("\x00\x00\x00\x00UPX!")}, "arm", ""},
		"a machine without the bug": {amd64, "amd64", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := store(t, "busybox", c.file.bytes())
			wantError(t, Binary(path, target(t, c.target)), path, c.want)
		})
	}
}

// TestBinaryPackedByUPX checks that UPX really uses this layout, with a program whose code fills its last page and
// one whose code doesn't.
func TestBinaryPackedByUPX(t *testing.T) {
	upx, err := exec.LookPath("upx")
	if err != nil {
		t.Skip("upx is not installed: what it packs is not checked")
	}
	for _, tg := range platform.All() {
		t.Run(tg.Name, func(t *testing.T) {
			program := compile(t, tg)
			content, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			plain := filepath.Join(t.TempDir(), "plain")
			pack(t, upx, program, plain)
			wantError(t, Binary(plain, tg), plain, "")
			if tg.Machine != elf.EM_ARM {
				return
			}

			if err := os.WriteFile(program, fillPage(t, content), 0o755); err != nil {
				t.Fatal(err)
			}
			full := filepath.Join(t.TempDir(), "full")
			pack(t, upx, program, full)
			signed, err := os.ReadFile(full)
			if err != nil {
				t.Fatal(err)
			}
			want := "fills its last page"
			if bytes.Contains(signed, []byte(goodUPX)) {
				want = ""
				// Other releases have another number in their signature.
				other := bytes.ReplaceAll(signed, []byte(goodUPX), []byte("$Id: UPX 5.02 "))
				old := store(t, "other", other)
				wantError(t, Binary(old, tg), old, "fills its last page")
			}
			wantError(t, Binary(full, tg), full, want)
		})
	}
}

func pack(t *testing.T, upx, from, to string) {
	t.Helper()
	if out, err := exec.Command(upx, "-q", "--lzma", "-o", to, from).CombinedOutput(); err != nil {
		t.Fatalf("packing: %v\n%s", err, strings.TrimSpace(string(out)))
	}
}

// fillPage extends the executable segment of a 32-bit program to the end of its page.
func fillPage(t *testing.T, program []byte) []byte {
	t.Helper()
	var header elf.Header32
	if _, err := binary.Decode(program, binary.LittleEndian, &header); err != nil {
		t.Fatal(err)
	}
	for i := range int(header.Phnum) {
		at := program[int(header.Phoff)+i*int(header.Phentsize):]
		var p elf.Prog32
		if _, err := binary.Decode(at, binary.LittleEndian, &p); err != nil {
			t.Fatal(err)
		}
		if elf.ProgType(p.Type) == elf.PT_LOAD && elf.ProgFlag(p.Flags)&elf.PF_X != 0 {
			p.Filesz = (p.Filesz + 4095) / 4096 * 4096
			p.Memsz = p.Filesz
			if _, err := binary.Encode(at, binary.LittleEndian, p); err != nil {
				t.Fatal(err)
			}
			return program
		}
	}
	t.Fatal("the program has no executable segment")
	return nil
}
