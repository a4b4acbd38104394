package pclntab_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

const system = "GOTRACEBACK=system"

// crashes are the kinds of crashes that the test program has.
var crashes = []string{
	"panic", "inlined", "repanic", "nilmap", "nilptr", "nilmethod", "generic", "goroutine", "method",
	"index", "overflow", "deadlock", "goexit", "throw", "fault", "abort", "quit",
}

// call is one call of a crash.
type call struct{ name, place, offset string }

var (
	anyCall    = regexp.MustCompile(`^(\S.*)\(.*\)$`)
	anyCreated = regexp.MustCompile(`^(created by .*?)(?: in goroutine \d+)?$`)
	anyPlace   = regexp.MustCompile(`^\t(.*:\d+)( \+0x[0-9a-f]+)?( fp=0x[0-9a-f]+ sp=0x[0-9a-f]+ pc=0x[0-9a-f]+)?$`)
	anyStack   = regexp.MustCompile(`(goroutine \d+ .*|runtime stack):$`)
)

// stacks returns the calls of a crash, one list for each goroutine.
func stacks(crash string) [][]call {
	var all [][]call
	name := ""
	for line := range strings.Lines(crash) {
		line = strings.TrimRight(line, "\r\n")
		if anyStack.MatchString(line) {
			all, name = append(all, nil), ""
		} else if m := anyPlace.FindStringSubmatch(line); m != nil && name != "" && len(all) > 0 {
			all[len(all)-1] = append(all[len(all)-1], call{name, m[1], m[2]})
			name = ""
		} else if m := anyCreated.FindStringSubmatch(line); m != nil {
			name = m[1]
		} else if m := anyCall.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
	}
	return all
}

func symbolsOf(t *testing.T, program string) []byte {
	t.Helper()
	symbols, err := pclntab.Symbols(read(t, program))
	if err != nil {
		t.Fatal(err)
	}
	return symbols
}

func symbolize(t *testing.T, symbols []byte, crash string) string {
	t.Helper()
	var out strings.Builder
	if err := pclntab.Symbolize(symbols, strings.NewReader(crash), &out); err != nil {
		t.Fatalf("%v\n%s", err, crash)
	}
	return out.String()
}

// For the goroutine that crashed, a stripped program's symbolized crash has the same calls as the original program's
// crash: with file and line, and with inlined calls.
func TestASymbolizedCrashEqualsTheOriginal(t *testing.T) {
	t.Parallel()
	if passedBefore(t, "symbols.go", "starts.go", "lookup.go", "symbolize.go", "symbolize_test.go") {
		return
	}
	eachWay(t, func(t *testing.T, toolchain string, target platform.Target, flags []string) {
		program := build(t, toolchain, target, "program", flags...)
		stripped, symbols := strip(t, program), symbolsOf(t, program)
		for _, crash := range crashes {
			whole, wholeCode := run(t, command(t, target, program, crash), system)
			bare, bareCode := run(t, command(t, target, stripped, crash), system)
			if wholeCode != 2 || bareCode != 2 {
				t.Errorf("%s: exit codes %d and %d, want 2\n%s", crash, wholeCode, bareCode, bare)
				continue
			}
			expected, got := stacks(whole), stacks(symbolize(t, symbols, bare))
			if len(expected) == 0 || len(expected[0]) == 0 || len(got) == 0 {
				t.Errorf("%s: no calls:\n%s\n%s", crash, whole, bare)
				continue
			}
			if crash == "goexit" || crash == "deadlock" {
				continue // it is random which of the runtime's threads detects the deadlock
			}
			compareCalls(t, crash, got[0], withoutInlinedInRuntime(expected[0]))
		}
	})
}

// withoutInlinedInRuntime returns a stack without the calls that were inlined into the runtime's functions, which Strip
// removes. Inlined calls have no offset, and come before the function that has one.
func withoutInlinedInRuntime(stack []call) []call {
	var left, inlined []call
	for _, c := range stack {
		inlined = append(inlined, c)
		if c.offset == "" {
			continue
		}
		if strings.HasPrefix(c.name, "runtime.") || strings.HasPrefix(c.name, "internal/runtime/") {
			inlined = inlined[len(inlined)-1:]
		}
		left, inlined = append(left, inlined...), nil
	}
	return append(left, inlined...)
}

// compareCalls fails unless the calls are the same. The creator of a goroutine may be one of several names.
func compareCalls(t *testing.T, crash string, got, want []call) {
	t.Helper()
	same := slices.EqualFunc(got, want, func(a, b call) bool {
		if a == b {
			return true
		}
		creator, created := strings.CutPrefix(b.name, "created by ")
		return created && a.offset == b.offset && slices.Contains(strings.Split(strings.TrimPrefix(a.name, "created by "), " or "), creator) &&
			slices.Contains(strings.Split(a.place, " or "), b.place)
	})
	if !same {
		text := func(calls []call) string {
			var b strings.Builder
			for _, c := range calls {
				fmt.Fprintf(&b, "%s\n\t%s%s\n", c.name, c.place, c.offset)
			}
			return b.String()
		}
		t.Errorf("%s: the calls are\n%s\nwant\n%s", crash, text(got), text(want))
	}
}

// bared turns the crash of an original program into the crash that the stripped program would have printed in the
// same state.
func bared(crash string) string {
	var b strings.Builder
	for line := range strings.Lines(crash) {
		line = strings.TrimSuffix(line, "\n")
		if m := anyPlace.FindStringSubmatchIndex(line); m != nil {
			line = line[:m[2]] + "?:0" + line[m[3]:]
		} else if m := anyCreated.FindStringSubmatchIndex(line); m != nil {
			line = "created by " + pclntab.ShortName(line[m[2]+len("created by "):m[3]]) + line[m[3]:]
		} else if m := anyCall.FindStringSubmatch(line); m != nil && !anyStack.MatchString(line) {
			name, arguments := m[1], "()"
			if strings.HasSuffix(line, "(...)") {
				arguments = "(...)"
			}
			if name != "panic" {
				name = pclntab.ShortName(name)
			}
			line = name + arguments
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// All goroutines and all kinds of crashes are symbolized.
func TestEveryGoroutineIsSymbolized(t *testing.T) {
	for how, flags := range map[string][]string{"as Tailscale": asTailscale, "inlined": nil} {
		program := build(t, toolchains[0], native(t), "program", flags...)
		symbols := symbolsOf(t, program)
		for _, crash := range crashes {
			t.Run(how+"/"+crash, func(t *testing.T) {
				whole, _ := run(t, command(t, native(t), program, crash), system)
				text := symbolize(t, symbols, bared(whole))
				if strings.Contains(text, "?:0") {
					t.Errorf("some locations are missing:\n%s", text)
				}
				got, want := stacks(text), stacks(whole)
				if len(got) != len(want) || len(want) < 2 {
					t.Fatalf("%d stacks, want %d:\n%s", len(got), len(want), text)
				}
				for i := range want {
					compareCalls(t, crash, got[i], want[i])
				}
			})
		}
	}
}

// The text around the calls doesn't change, and addresses in registers are symbolized.
func TestTheRestOfACrash(t *testing.T) {
	program := build(t, toolchains[0], native(t), "program")
	stripped, symbols := strip(t, program), symbolsOf(t, program)
	for crash, wants := range map[string][]string{
		"quit":   {`(?m)^SIGQUIT: quit\nPC=0x[0-9a-f]+ m=\d+ sigcode=\d+ \(\S+\.Syscall6 \S+:\d+\)$`, `(?m)^(rip|pc) +0x[0-9a-f]+ \(\S+\.Syscall6 \S+:\d+\)$`},
		"nilptr": {`(?m)^panic: runtime error: invalid memory address or nil pointer dereference\n\[signal SIGSEGV.* pc=0x[0-9a-f]+\] \(main\.\S+ \S+/crash.go:\d+\)$`},
		"panic":  {`(?m)^panic: boo\n\ngoroutine 1 gp=0x[0-9a-f]+ m=\d+ mp=0x[0-9a-f]+ \[running\]:\npanic\(\)\n\t\S+/panic.go:\d+ \+0x[0-9a-f]+ fp=.* pc=.*\nmain\.init\.func\d+\.1\(\)`},
		"throw":  {`(?m)^fatal error: sync: unlock of unlocked mutex$`},
	} {
		bare, _ := run(t, command(t, native(t), stripped, crash), system)
		got := symbolize(t, symbols, bare)
		for _, want := range wants {
			if !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%s does not have %s:\n%s", crash, want, got)
			}
		}
		// Line by line, nothing else has changed.
		before, after := strings.Split(bare, "\n"), strings.Split(got, "\n")
		if len(before) != len(after) {
			t.Errorf("%s: %d lines became %d", crash, len(before), len(after))
			continue
		}
		for i := range before {
			if before[i] != after[i] && !regexp.MustCompile(`\?:0|\?\.\(\*\?\)\.\?|^(created by )?(runtime|internal/runtime/|reflect)\.?|^(PC=|pc|rip|lr|\[signal)|^\?\(`).MatchString(before[i]) {
				t.Errorf("%s: %q became %q", crash, before[i], after[i])
			}
		}
	}
}

// A crash may have been copied through logs and editors.
func TestCrashesThatWereCopied(t *testing.T) {
	program := build(t, toolchains[0], native(t), "program")
	stripped, symbols := strip(t, program), symbolsOf(t, program)
	bare, _ := run(t, command(t, native(t), stripped, "inlined"), system)
	want := symbolize(t, symbols, bare)
	eachLine := func(text string, f func(string) string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			b.WriteString(f(line))
		}
		return b.String()
	}
	for name, f := range map[string]func(string) string{
		"with a prefix":         func(line string) string { return "nov/23 14:00:01 container,info,debug tailscale: " + line },
		"with Windows' lines":   func(line string) string { return strings.TrimSuffix(line, "\n") + "\r\n" },
		"with spaces for tabs":  func(line string) string { return strings.ReplaceAll(line, "\t", "        ") },
		"indented":              func(line string) string { return "  > " + line },
		"with trailing spaces":  func(line string) string { return strings.TrimSuffix(line, "\n") + "  \n" },
		"with lines in between": func(line string) string { return line + "2026-01-02 another program says (something)\n" },
	} {
		if got := symbolize(t, symbols, eachLine(bare, f)); got != eachLine(want, f) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, eachLine(want, f))
		}
	}
	noTabs := func(line string) string { return strings.TrimLeft(line, "\t") }
	if got := symbolize(t, symbols, eachLine(bare, noTabs)); got != eachLine(want, noTabs) {
		t.Errorf("without tabs:\n%s", got)
	}
	twice := "before\n" + bare + "between\n" + bare + "after"
	if got := symbolize(t, symbols, twice); got != "before\n"+want+"between\n"+want+"after" {
		t.Errorf("twice:\n%s", got)
	}
	if got := symbolize(t, symbols, want+bare); got != want+want {
		t.Errorf("symbolizing a symbolized crash has changed it:\n%s", got)
	}
	// If the text is cut anywhere after the first call, the rest is still symbolized.
	for cut := strings.Index(bare, "pc=") + 20; cut < len(bare); cut += 211 {
		if got := symbolize(t, symbols, bare[:cut]); !strings.Contains(got, "runtime/panic.go:") {
			t.Errorf("the first %d bytes result in\n%s", cut, got)
		}
	}
}

func TestWhatCannotBeSymbolized(t *testing.T) {
	t.Parallel()
	program := build(t, toolchains[0], native(t), "program")
	stripped, symbols := strip(t, program), symbolsOf(t, program)
	bare, _ := run(t, command(t, native(t), stripped, "panic"), system)
	whole, _ := run(t, command(t, native(t), program, "panic"), system)
	short, _ := run(t, command(t, native(t), stripped, "panic"), "GOTRACEBACK=all")
	logged, _ := run(t, command(t, native(t), stripped, "logged"), system)
	other := symbolsOf(t, build(t, toolchains[0], native(t), "program", asTailscale...))
	arm, err := platform.Parse("armv5")
	if err != nil {
		t.Fatal(err)
	}
	foreign := symbolsOf(t, build(t, toolchains[1], arm, "program"))
	offByOne := regexp.MustCompile(`(\+0x\w+)( fp=.* pc=)`).ReplaceAllString(bare, "${1}1$2")
	for name, c := range map[string]struct {
		symbols []byte
		crash   string
		want    []string
	}{
		"another build":                 {other, bare, []string{"from another build than the symbols", "The symbols are of program", "linux/amd64 by " + toolchains[0] + ", build ID "}},
		"another processor":             {foreign, bare, []string{"from another build than the symbols", "linux/arm/v5 by " + toolchains[1]}},
		"other addresses":               {symbols, offByOne, []string{"line 5 of the crash", "from another build than the symbols", "bytes into runtime.gopanic here"}},
		"no addresses":                  {symbols, short, []string{"no addresses", system}},
		"a stack that the program logs": {symbols, logged, []string{"no addresses", "a stack that the program itself logs"}},
		"not stripped":                  {symbols, whole, []string{"not the crash of a stripped program"}},
		"no crash":                      {symbols, "hello\n", []string{"not the crash of a stripped program"}},
		"nothing":                       {symbols, "", []string{"not the crash of a stripped program"}},
		"no symbols":                    {nil, bare, []string{"reading the symbols", "not a symbols file"}},
		"a text for symbols":            {[]byte("main.main\n"), bare, []string{"not a symbols file"}},
		"the program itself":            {read(t, program), bare, []string{"not a symbols file"}},
		"another file":                  {zipped(t, []byte("hello\n")), bare, []string{"not a symbols file", "symbols of a Go program"}},
		"half the symbols":              {symbols[:len(symbols)/2], bare, []string{"reading the symbols: it is damaged"}},
		"half of the parts":             {zipped(t, unzipped(t, symbols)[:100_000]), bare, []string{"it is damaged: it is cut short"}},
		"only a header":                 {zipped(t, unzipped(t, symbols)[:100]), bare, []string{"it is damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := pclntab.Symbolize(c.symbols, strings.NewReader(c.crash), &out)
			if err == nil || out.Len() > 0 {
				t.Fatalf("error = %v, and there is output:\n%s", err, &out)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not contain %q: %v", want, err)
				}
			}
		})
	}
	broken := errors.New("broken")
	if err := pclntab.Symbolize(symbols, iotest.ErrReader(broken), io.Discard); !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	if err := pclntab.Symbolize(symbols, strings.NewReader(bare), failing{broken}); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unzipped(t *testing.T, file []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Damaged symbols result in an error or wrong names, never in a panic.
func TestDamagedSymbols(t *testing.T) {
	t.Parallel()
	program := build(t, toolchains[0], native(t), "program")
	bare, _ := run(t, command(t, native(t), strip(t, program), "inlined"), system)
	whole := unzipped(t, symbolsOf(t, program))
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		content := bytes.Clone(whole)
		part := content
		if seed%2 == 0 {
			part = content[:1000] // the header and the first names
		}
		for range 1 + random.IntN(2000)*int(seed%2) {
			part[random.IntN(len(part))] = byte(random.Uint32())
		}
		_ = pclntab.Symbolize(zipped(t, content), strings.NewReader(bare), io.Discard)
	}
}

// The same program always has the same symbols. They are smaller than the program, and can't be read from a stripped
// one.
func TestSymbols(t *testing.T) {
	program := build(t, toolchains[0], native(t), "program", asTailscale...)
	content := read(t, program)
	first, second := symbolsOf(t, program), symbolsOf(t, program)
	if !bytes.Equal(first, second) {
		t.Error("two symbol files of the same program differ")
	}
	if !bytes.Equal(content, read(t, program)) {
		t.Error("the program has changed")
	}
	if len(first) > len(content)/5 {
		t.Errorf("the symbols of a program of %d bytes have %d", len(content), len(first))
	}
	if _, err := pclntab.Symbols(read(t, strip(t, program))); err == nil || !strings.Contains(err.Error(), "already stripped") {
		t.Errorf("for a stripped program: %v", err)
	}
	text := string(unzipped(t, first))
	for _, want := range []string{"symbols of a Go program, format 1\n{", `"program":"program"`, `"go":"` + toolchains[0] + `"`, "main.main"} {
		if !strings.Contains(text, want) {
			t.Errorf("the symbol file does not have %q", want)
		}
	}
}

// The programs for the build's stages do the same as the package.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	goCommand(t, ".", os.Environ(), "build", "-o", dir, "./strip", "./symbols")
	program := build(t, toolchains[0], native(t), "program", asTailscale...)
	stripped := string(read(t, strip(t, program)))
	short := string(read(t, stripWith(t, pclntab.StripShort, program)))
	out := filepath.Join(dir, "out")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"strip":              {[]string{"strip", program, out}, 0, stripped},
		"strip -short":       {[]string{"strip", "-short", program, out}, 0, short},
		"symbols":            {[]string{"symbols", program, out}, 0, string(symbolsOf(t, program))},
		"strip no program":   {[]string{"strip", "/bin/true", out}, 1, "strip: stripping /bin/true: reading the build information"},
		"symbols of none":    {[]string{"symbols", "/bin/true", out}, 1, "symbols: extracting the symbols of /bin/true: reading the build information"},
		"strip nothing":      {[]string{"strip", "/nowhere/x", out}, 1, "/nowhere/x: no such file"},
		"symbols of nothing": {[]string{"symbols", "/nowhere/x", out}, 1, "/nowhere/x: no such file"},
		"strip nowhere":      {[]string{"strip", program, "/nowhere/x"}, 1, "/nowhere/x: no such file"},
		"symbols nowhere":    {[]string{"symbols", program, "/nowhere/x"}, 1, "/nowhere/x: no such file"},
		"strip usage":        {[]string{"strip", program}, 2, "usage: strip [-short] PROGRAM STRIPPED"},
		"symbols usage":      {[]string{"symbols"}, 2, "usage: symbols PROGRAM OUTPUT"},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(out)
			printed, code := run(t, command(t, native(t), filepath.Join(dir, c.args[0]), c.args[1:]...))
			if code != c.code {
				t.Fatalf("exit code %d, want %d: %s", code, c.code, printed)
			}
			if code != 0 {
				if !strings.Contains(printed, c.want) {
					t.Errorf("it printed %q, want %q", printed, c.want)
				}
				if _, err := os.Stat(out); err == nil {
					t.Error("there is output")
				}
				return
			}
			if got := string(read(t, out)); got != c.want || printed != "" {
				t.Errorf("the output differs, and it printed %q", printed)
			}
		})
	}
}
