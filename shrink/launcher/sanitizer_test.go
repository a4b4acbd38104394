package launcher_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// loopsVariable is the environment variable with the directory of the programs that packers and unpackers start.
// Fuzzing runs this test program several times, but compiles the programs once.
const loopsVariable = "LAUNCHER_TEST_LOOPS"

// loops is the same directory, if this test program has compiled the programs.
var loops struct {
	sync.Mutex
	directory string
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(loops.directory)
	os.Exit(code)
}

var (
	sevenZip  = []string{"LzmaDec", "LzmaEnc", "LzFind", "Bra", "Bra86", "Alloc", "7zCrc", "CpuArch"}
	sanitizer = []string{"-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}
	defines   = []string{"-IC", "-DZ7_ST", "-DZ7_CRC_NUM_TABLES=1"}
)

// compileLoops compiles the packer and the launcher's unpacking with AddressSanitizer and UndefinedBehaviorSanitizer,
// as loops that read their inputs. All tests share them, because that takes seconds.
func compileLoops(t testing.TB) string {
	t.Helper()
	testmode.Machine(t)
	loops.Lock()
	defer loops.Unlock()
	if dir := os.Getenv(loopsVariable); dir != "" {
		return dir
	}
	testtools.Require(t, append(local.Tools(), local.Tool{Command: "gcc", Package: "gcc"}, local.Tool{Command: "/usr/include/elf.h", Package: "libc6-dev"})...)
	sources, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "launcher-test-")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	run("tar", "-xf", sevenZipSource(t), "C")
	var objects []string
	for _, name := range sevenZip {
		objects = append(objects, name+".o")
		// 7-Zip's own code accesses unaligned addresses on purpose if the processor supports that.
		run("gcc", append(append(append([]string{}, sanitizer...), defines...), "-fno-sanitize=alignment", "-c", "-o", name+".o", "C/"+name+".c")...)
	}
	for _, name := range []string{"packer", "unpacker"} {
		args := append(append(append([]string{}, sanitizer...), defines...), recipe.Warnings()...)
		args = append(args, "-DDICTIONARY=65536", "-DSMALL=0", "-I"+sources+"/src", "-I"+sources+"/testdata", "-o", name, sources+"/testdata/"+name+".c")
		run("gcc", append(args, objects...)...)
	}
	if err := os.Setenv(loopsVariable, dir); err != nil {
		t.Fatal(err)
	}
	loops.directory = dir
	return dir
}

func sevenZipSource(t testing.TB) string {
	t.Helper()
	d, err := local.Open(t.Context(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	path, err := d.Output(t.Context(), recipe.SevenZipSource())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// loop is a running program that handles one input after the other.
type loop struct {
	lock   sync.Mutex
	in     io.Writer
	out    io.Reader
	errors *bufio.Reader
}

func startLoop(t testing.TB, name string) *loop {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(compileLoops(t), name))
	// A sanitizer's own exit code is 1, the same as the packer's for a program that it refuses.
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=exitcode=99:detect_leaks=0:allocator_may_return_null=1", "UBSAN_OPTIONS=exitcode=99:print_stacktrace=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errors, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return &loop{in: in, out: out, errors: bufio.NewReader(errors)}
}

// run returns the exit code for an input, and the output.
func (l *loop) run(t testing.TB, input []byte) (code int, text string) {
	t.Helper()
	l.lock.Lock()
	defer l.lock.Unlock()
	go func() {
		_, _ = l.in.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(input))), input...))
	}()
	var printed strings.Builder
	for {
		line, err := l.errors.ReadString('\n')
		if err != nil {
			t.Fatalf("the loop has ended: %v\n%s", err, printed.String())
		}
		if line == ".\n" {
			break
		}
		printed.WriteString(line)
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(l.out, answer); err != nil {
		t.Fatal(err)
	}
	return int(answer[0]), printed.String()
}

// Without a sanitizer, all of these tests would pass.
func TestTheSanitizerLooks(t *testing.T) {
	for _, name := range []string{"packer", "unpacker"} {
		if code, text := startLoop(t, name).run(t, nil); code != 99 || !strings.Contains(text, "heap-buffer-overflow") {
			t.Errorf("%s reads behind its input, and ends with %d:\n%s", name, code, text)
		}
	}
}

// The packer packs a program, or refuses it with one line. It never accesses memory outside of the program.
func TestThePackerTakesWhatItIsGiven(t *testing.T) {
	packer := startLoop(t, "packer")
	many := goProgram(62, 4)
	for i := range 200 {
		many.sections = append(many.sections, section{fmt.Sprintf(".more%d", i), []byte{byte(i)}})
	}
	gaps := goProgram(62, 4)
	for i := range 70 { // each is followed by pages of zeros, which are left out
		gaps.sections = append(gaps.sections, section{fmt.Sprintf(".gap%d", i), append([]byte("x"), make([]byte, 7*4096)...)})
	}
	// From 0xffffffff, two bytes further is the beginning again.
	far := func(machine int) []byte {
		p := goProgram(machine, 4)
		copy(p.function(0), "\xff\xff\xff\xff")
		return p.bytes(nil)
	}
	for name, c := range map[string]struct {
		program []byte
		want    string // the error, or empty
	}{
		"for amd64":                          {goProgram(62, 40).bytes(nil), ""},
		"for arm64":                          {goProgram(183, 40).bytes(nil), ""},
		"for arm":                            {goProgram(40, 40).bytes(nil), ""},
		"with short records, for amd64":      {shortProgram(62, 40).bytes(nil), ""},
		"with short records, for arm64":      {shortProgram(183, 40).bytes(nil), ""},
		"with short records, for arm":        {shortProgram(40, 40).bytes(nil), ""},
		"a function far away, on amd64":      {far(62), ""},
		"a function far away, on arm64":      {far(183), ""},
		"a function far away, on arm":        {far(40), ""},
		"more than 64 sections":              {many.bytes(nil), ""},
		"more than 64 parts":                 {gaps.bytes(nil), ""},
		"no sections":                        {goProgram(62, 4).bytes(func(h *header) { h.sections, h.count, h.names = 0, 0, 0 }), ""},
		"no code":                            {program{machine: 62, sections: []section{{".text", nil}}}.bytes(nil), ""},
		"section headers behind the end":     {goProgram(62, 4).bytes(func(h *header) { h.sections = 1 << 40 }), "section headers lie outside"},
		"too many section headers":           {goProgram(62, 4).bytes(func(h *header) { h.count = 0xfeff }), "section headers lie outside"},
		"section headers at an odd place":    {goProgram(62, 4).bytes(func(h *header) { h.odd = true }), ""},
		"names in no section":                {goProgram(62, 4).bytes(func(h *header) { h.names = 100 }), "section headers lie outside"},
		"names behind the end":               {goProgram(62, 4).bytes(func(h *header) { h.namesPlace = 1 << 50 }), "names of the program's sections lie outside"},
		"names without an end":               {goProgram(62, 4).bytes(func(h *header) { h.namesSize = -1 }), "names of the program's sections lie outside"},
		"a name behind the names":            {goProgram(62, 4).bytes(func(h *header) { h.name = 1 << 31 }), "a section's name lies outside"},
		"a section behind the end":           {goProgram(62, 4).bytes(func(h *header) { h.place = 1 << 60 }), "a section lies outside"},
		"a processor that is not known":      {goProgram(8, 4).bytes(nil), "an unknown processor"},
		"the other order of bytes":           {goProgram(62, 4).bytes(func(h *header) { h.order = 2 }), "an unknown processor"},
		"neither 32 nor 64 bits":             {goProgram(62, 4).bytes(func(h *header) { h.class = 3 }), "an unknown processor"},
		"no ELF file":                        {bytes.Repeat([]byte("#!/bin/sh\n"), 20), "not an ELF file"},
		"a few bytes":                        {[]byte("\x7fELF"), "not an ELF file"},
		"half a program":                     {goProgram(62, 4).bytes(nil)[:200], "lie outside"},
		"a function table that is too short": {program{machine: 62, sections: []section{{".text", make([]byte, 64)}, {".gopclntab", make([]byte, 20)}}}.bytes(nil), ".gopclntab is too short"},
	} {
		t.Run(name, func(t *testing.T) {
			code, text := packer.run(t, c.program)
			if code != min(1, len(c.want)) || !strings.Contains(text, c.want) {
				t.Errorf("exit code %d; want the error %q:\n%s", code, c.want, text)
			}
		})
	}
}

// wantOrder fails the test unless the program succeeded or returned an error of its own.
func wantOrder(t *testing.T, code, refusal int, text string) {
	t.Helper()
	if code != 0 && code != refusal {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

// Unpacking frees the memory for a part before the next part, and doesn't rely on what the memory contained.
func TestUnpackingHoldsTheMemoryOfOnePart(t *testing.T) {
	unpacker := startLoop(t, "unpacker")
	for _, p := range []program{goProgram(62, 200), goProgram(183, 200), shortProgram(62, 200), shortProgram(183, 200), shortProgram(40, 200)} {
		machine, file := p.machine, p.withTables().bytes(nil)
		payload := pack(t, file)
		var used []byte
		for i := range binary.LittleEndian.Uint32(payload[24:]) {
			used = append(used, payload[28+28*i+25])
		}
		const table, pcTables = 1, 8
		if !slices.Contains(used, table) || slices.Max(used) <= pcTables {
			t.Errorf("processor %d: the program has the filters %d; want the function table and pc tables", machine, used)
		}
		if code, text := unpacker.run(t, payload); code != 0 || strings.TrimSpace(text) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(file)) {
			t.Errorf("processor %d: exit code %d, the checksum is\n%swant %08x", machine, code, text, crc32.ChecksumIEEE(file))
		}
	}
}

func FuzzPacker(f *testing.F) {
	packer := startLoop(f, "packer")
	for _, machine := range []int{62, 183, 40} {
		f.Add(goProgram(machine, 3).bytes(nil))
		f.Add(shortProgram(machine, 3).bytes(nil))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 {
			t.Skip("an empty input is a test of the sanitizer")
		}
		code, text := packer.run(t, program)
		wantOrder(t, code, 1, text)
	})
}

// FuzzGoCode packs random bytes as the code of functions that begin anywhere. Code that can't be restored is packed
// without the filter for Go code, so there is nothing to refuse.
func FuzzGoCode(f *testing.F) {
	packer := startLoop(f, "packer")
	for machine := range uint8(3) {
		for _, s := range goProgram(machines[machine], 20).sections {
			if s.name == ".text" {
				f.Add(machine, s.content, []byte{16, 16, 16, 16, 3, 200})
			}
		}
	}
	f.Fuzz(func(t *testing.T, machine uint8, code, steps []byte) {
		p := goProgram(machines[machine%3], max(1, min(len(steps), 200)))
		at := 0
		for i, step := range steps[:min(len(steps), 200)] {
			binary.LittleEndian.PutUint32(p.function(i), uint32(at))
			at += int(step)
		}
		p.sections[0].content = code
		exit, text := packer.run(t, p.bytes(nil))
		wantOrder(t, exit, 0, text)
	})
}

// FuzzUnpacker damages the packer's output and corrects its checksum, so that the damage gets further than on a
// router.
func FuzzUnpacker(f *testing.F) {
	for i, machine := range append(machines, machines...) {
		p := goProgram(machine, 20)
		if i >= len(machines) {
			p = shortProgram(machine, 20)
		}
		payload := pack(f, p.bytes(nil))
		f.Add(payload, uint32(0), uint32(0))
		for at := uint32(16); at < uint32(len(payload)); at += 8 + at/16 { // from the header and the first parts most, then some
			f.Add(payload, at, uint32(0xffffffff))
			f.Add(payload, at, uint32(1))
		}
	}
	unpacker := startLoop(f, "unpacker")
	f.Fuzz(func(t *testing.T, payload []byte, at, change uint32) {
		if len(payload) == 0 {
			t.Skip("an empty input is a test of the sanitizer")
		}
		payload = bytes.Clone(payload)
		if at < uint32(len(payload))-3 && len(payload) > 3 {
			binary.LittleEndian.PutUint32(payload[at:], binary.LittleEndian.Uint32(payload[at:])^change)
		}
		code, text := unpacker.run(t, payload)
		wantOrder(t, code, 127, text)
	})
}

// pack returns the payload of a launcher for a program.
func pack(t testing.TB, program []byte) []byte {
	t.Helper()
	dir := compileLoops(t)
	packer, in, out := filepath.Join(dir, "pack"), filepath.Join(t.TempDir(), "program"), filepath.Join(t.TempDir(), "payload")
	if _, err := os.Stat(packer); err != nil {
		args := append([]string{"-O1", "-Isrc", "-I" + dir + "/C", "-DZ7_ST", "-DZ7_CRC_NUM_TABLES=1", "-DDICTIONARY=65536", "-DSMALL=0", "-o", packer, "src/pack.c"}, recipe.Warnings()...)
		for _, name := range sevenZip {
			args = append(args, dir+"/C/"+name+".c")
		}
		if out, err := exec.CommandContext(t.Context(), "gcc", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if err := os.WriteFile(in, program, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.CommandContext(t.Context(), packer, in, out, filepath.Join(t.TempDir(), "filters.h")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	payload, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}
