package verify

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

func TestBinaryPairs(t *testing.T) {
	wrong := map[[2]string]string{
		{"amd64", "arm64"}: "is for x86-64, but arm64 needs ARM (64-bit)",
		{"amd64", "arm"}:   "is for x86-64, but arm needs ARM (32-bit)",
		{"amd64", "armv5"}: "is for x86-64, but armv5 needs ARM (32-bit)",
		{"arm64", "amd64"}: "is for ARM (64-bit), but amd64 needs x86-64",
		{"arm64", "arm"}:   "is for ARM (64-bit), but arm needs ARM (32-bit)",
		{"arm64", "armv5"}: "is for ARM (64-bit), but armv5 needs ARM (32-bit)",
		{"arm", "amd64"}:   "is for ARM (32-bit), but amd64 needs x86-64",
		{"arm", "arm64"}:   "is for ARM (32-bit), but arm64 needs ARM (64-bit)",
		{"arm", "armv5"}:   "was built with GOARM=7, but armv5 needs GOARM=5 or lower",
		{"armv5", "amd64"}: "is for ARM (32-bit), but amd64 needs x86-64",
		{"armv5", "arm64"}: "is for ARM (32-bit), but arm64 needs ARM (64-bit)",
	}
	for _, built := range platform.All() {
		binary := compile(t, built)
		for _, wanted := range platform.All() {
			err := Binary(binary, wanted)
			want, isWrong := wrong[[2]string{built.Name, wanted.Name}]
			switch {
			case !isWrong && err != nil:
				t.Errorf("a binary for %s is refused: %v", built, err)
			case isWrong && err == nil:
				t.Errorf("a binary for %s passes for %s", built, wanted)
			case isWrong && err.Error() != binary+": "+want:
				t.Errorf("a binary for %s is refused with %q; want %q", built, err, want)
			}
		}
	}
}

// A user's program may be built for an older version of the processor: many are only published for ARMv6.
func TestProgramsForOlderARMRunOnNewer(t *testing.T) {
	v6 := target(t, "arm")
	v6.GOARM = "6"
	soft := v6
	soft.GOARM = "6,softfloat"
	forARMv6, forARMv6Soft, forARMv5 := compile(t, v6), compile(t, soft), compile(t, target(t, "armv5"))
	softC := store(t, "soft", fake{flags: armEABI5 | armSoftFloat}.bytes())
	for _, path := range []string{forARMv6, forARMv6Soft, forARMv5, softC} {
		if err := Binary(path, target(t, "arm")); err != nil {
			t.Error(err)
		}
	}
	wantError(t, Binary(forARMv6, target(t, "armv5")), forARMv6, "was built with GOARM=6, but armv5 needs GOARM=5 or lower")
	wantError(t, Binary(forARMv6Soft, target(t, "armv5")), forARMv6Soft, "was built with GOARM=6,softfloat, but armv5 needs GOARM=5 or lower")
}

func TestAProgramBuiltHereMustMatchThePlatformExactly(t *testing.T) {
	for _, tg := range platform.All() {
		if err := Built(compile(t, tg), tg); err != nil {
			t.Error(err)
		}
	}
	arm := target(t, "arm")
	older, soft := compile(t, target(t, "armv5")), store(t, "soft", fake{flags: armEABI5 | armSoftFloat}.bytes())
	wantError(t, Built(older, arm), older, "was built with GOARM=5, but arm needs GOARM=7")
	wantError(t, Built(soft, arm), soft, "is for soft float, but arm needs hard float")
	wantError(t, Built(older, target(t, "arm64")), older, "is for ARM (32-bit), but arm64 needs ARM (64-bit)")
}

func TestBinaryHeader(t *testing.T) {
	amd64 := fake{class: elf.ELFCLASS64, machine: elf.EM_X86_64}
	with := func(f fake, change func(f *fake)) fake {
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		file   fake
		target string
		want   string
	}{
		"arm":            {fake{}, "arm", ""},
		"armv5":          {fake{}, "armv5", ""},
		"amd64":          {amd64, "amd64", ""},
		"made for Linux": {fake{system: elf.ELFOSABI_LINUX}, "arm", ""},
		"hard float":     {fake{flags: armEABI5 | armHardFloat}, "arm", ""},
		"soft float":     {fake{flags: armEABI5 | armSoftFloat}, "armv5", ""},
		"static-pie":     {fake{kind: elf.ET_DYN}, "arm", ""},

		"another machine": {fake{machine: elf.EM_MIPS}, "arm", "is for EM_MIPS, but arm needs ARM (32-bit)"},
		"32-bit x86":      {fake{machine: elf.EM_386}, "amd64", "is for x86 (32-bit), but amd64 needs x86-64"},
		"x32":             {fake{machine: elf.EM_X86_64}, "amd64", "is an ELFCLASS32 file, but amd64 needs ELFCLASS64"},
		"big-endian":      {fake{order: binary.BigEndian}, "arm", "big-endian order, but arm needs little-endian"},
		"FreeBSD":         {fake{system: elf.ELFOSABI_FREEBSD}, "arm", "(ELFOSABI_FREEBSD), but arm needs Linux"},
		"hard on soft":    {fake{flags: armEABI5 | armHardFloat}, "armv5", "(hard float), but armv5 needs soft float"},
		"soft on hard":    {fake{flags: armEABI5 | armSoftFloat}, "arm", ""},
		"old EABI":        {fake{flags: 0x04000000}, "arm", "has version 4 of the ARM EABI, but arm needs 5"},
		"object file":     {fake{kind: elf.ET_REL}, "arm", "is of type ET_REL, but arm needs an executable"},
		"shared library":  {fake{kind: elf.ET_DYN, noEntry: true}, "arm", "is of type ET_DYN, but arm needs an executable"},
		"no code":         {fake{segments: []segment{{kind: elf.PT_NOTE}}}, "arm", "has nothing to load"},
		"cut short": {
			fake{segments: []segment{{kind: elf.PT_LOAD, content: []byte("code"), claim: 5}}}, "arm",
			"is cut short: it has 88 bytes, but a segment of 5 bytes starts at 84",
		},
		"a segment longer than any file": {
			fake{segments: []segment{{kind: elf.PT_LOAD, claim: 1<<32 - 1}}}, "arm", "is cut short",
		},
		"a segment behind the file": {
			fake{segments: []segment{{kind: elf.PT_LOAD, content: []byte("code"), shift: 1 << 20}}}, "arm", "is cut short",
		},
		"loader": {
			fake{segments: []segment{code, {kind: elf.PT_INTERP, content: []byte("/lib/ld-musl.so\x00")}}}, "arm",
			`is started by the dynamic loader "/lib/ld-musl.so", but the image needs static binaries`,
		},
		"libraries": {
			fake{segments: []segment{code, dynamic32(elf.DT_FLAGS_1, elf.DT_NEEDED)}}, "arm",
			"is linked to shared libraries, but the image needs static binaries",
		},
		"libraries, 64-bit": {
			with(amd64, func(f *fake) { f.segments = []segment{code, dynamic64(elf.DT_NEEDED)} }), "amd64",
			"is linked to shared libraries",
		},
		"a dynamic segment without libraries": {
			fake{kind: elf.ET_DYN, segments: []segment{code, dynamic32(elf.DT_FLAGS_1, elf.DT_NULL, elf.DT_NEEDED)}}, "arm", "",
		},
		"a dynamic segment that does not end": {
			with(amd64, func(f *fake) { f.segments = []segment{code, dynamic64(elf.DT_FLAGS_1)} }), "amd64", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := store(t, "tailscaled", c.file.bytes())
			wantError(t, Binary(path, target(t, c.target)), path, c.want)
		})
	}
}

func dynamic32(tags ...elf.DynTag) segment {
	var b bytes.Buffer
	for _, tag := range tags {
		_ = binary.Write(&b, binary.LittleEndian, elf.Dyn32{Tag: int32(tag)})
	}
	return segment{kind: elf.PT_DYNAMIC, content: b.Bytes()}
}

func dynamic64(tags ...elf.DynTag) segment {
	var b bytes.Buffer
	for _, tag := range tags {
		_ = binary.Write(&b, binary.LittleEndian, elf.Dyn64{Tag: int64(tag)})
	}
	return segment{kind: elf.PT_DYNAMIC, content: b.Bytes()}
}

// TestBinaryOfCompiler shows the difference between the compiler's default output, which needs a loader, and the two
// forms of static binaries.
func TestBinaryOfCompiler(t *testing.T) {
	testtools.Require(t, local.Tool{Command: "gcc", Package: "gcc"}, local.Tool{Command: "/usr/include/stdio.h", Package: "libc6-dev"})
	directory := t.TempDir()
	source := filepath.Join(directory, "main.c")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	triple, err := exec.Command("gcc", "-dumpmachine").Output()
	if err != nil || !strings.HasPrefix(string(triple), "x86_64-linux") {
		t.Skipf("gcc makes binaries for %q (%v), and this test is for x86_64-linux", triple, err)
	}
	for _, c := range []struct{ flag, want string }{
		{"-pie", "is started by the dynamic loader"},
		{"-no-pie", "is started by the dynamic loader"},
		{"-static", ""},
		{"-static-pie", ""},
		{"-shared", "needs an executable"},
		{"-c", "needs an executable"},
	} {
		t.Run(c.flag, func(t *testing.T) {
			binary := filepath.Join(directory, "main"+c.flag)
			if out, err := exec.Command("gcc", "-fPIC", c.flag, "-o", binary, source).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			wantError(t, Binary(binary, target(t, "amd64")), binary, c.want)
		})
	}
}

func TestBinaryBroken(t *testing.T) {
	whole, err := os.ReadFile(compile(t, target(t, "arm")))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 4, 15, 16, 51, 52, 100, 4096, len(whole) / 2, len(whole) * 9 / 10} {
		path := store(t, "short", whole[:size])
		if err := Binary(path, target(t, "arm")); err == nil || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("the first %d of %d bytes: error = %v; want one that starts with the path", size, len(whole), err)
		}
	}
	for name, content := range map[string]string{
		"text":    "#!/bin/sh\n",
		"zeros":   strings.Repeat("\x00", 4096),
		"magic":   elf.ELFMAG + strings.Repeat("\xff", 4096),
		"archive": "!<arch>\n",
	} {
		path := store(t, name, []byte(content))
		wantError(t, Binary(path, target(t, "arm")), path, "cannot be read as the ELF binary that arm needs")
	}
}

func TestBinaryNoFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if err := Binary(missing, target(t, "arm")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("error = %v; want fs.ErrNotExist with the path", err)
	}
	directory := t.TempDir()
	wantError(t, Binary(directory, target(t, "arm")), directory, "is not a regular file")
}

func FuzzBinary(f *testing.F) {
	f.Add([]byte(elf.ELFMAG))
	f.Add(fake{}.bytes())
	f.Add(fake{flags: armEABI5 | armHardFloat, segments: []segment{code, dynamic32(elf.DT_NEEDED)}}.bytes())
	f.Add(fake{class: elf.ELFCLASS64, machine: elf.EM_X86_64, kind: elf.ET_DYN, segments: []segment{code, dynamic64(elf.DT_NULL)}}.bytes())
	f.Add(fake{class: elf.ELFCLASS64, machine: elf.EM_AARCH64, segments: []segment{code, {kind: elf.PT_INTERP, content: []byte("/lib/ld")}}}.bytes())
	f.Add(packed(4096, "").bytes())
	f.Add(packed(4096, goodUPX).bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, tg := range platform.All() {
			_ = check(bytes.NewReader(content), int64(len(content)), tg)
		}
	})
}

// wantError wants no error if part is empty. Otherwise it wants an error about the file that contains part.
func wantError(t *testing.T, err error, path, part string) {
	t.Helper()
	switch {
	case part == "" && err != nil:
		t.Errorf("error = %v; want none", err)
	case part != "" && err == nil:
		t.Errorf("no error; want one that contains %q", part)
	case part != "" && (!strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), part)):
		t.Errorf("error = %q; want one about %s that contains %q", err, path, part)
	}
}
