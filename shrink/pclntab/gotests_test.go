package pclntab_test

import (
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// ownTests are the tests of a foreign package, which run in a stripped test program.
type ownTests struct {
	// pack is the package. run and skip select tests, like the flags of go test.
	pack, run, skip string
	// why says what the skipped tests expect.
	why string
}

// goTests are packages of Go itself that depend on the function table, and some that do many things at once.
var goTests = []ownTests{
	{pack: "context"}, {pack: "errors"}, {pack: "iter"}, {pack: "unique"}, {pack: "weak"}, {pack: "sync/atomic"},
	{pack: "encoding/json"}, {pack: "encoding/gob"}, {pack: "text/template"}, {pack: "runtime/metrics"},
	{pack: "os/signal"}, {pack: "time"},
	{pack: "internal/runtime/maps"},
	{
		pack: "sync", skip: "^TestOnceFuncPanicTraceback$",
		why: "it looks for a name in the text of a stack",
	},
	{
		pack: "reflect", skip: "^Test(Grow|SetLenCap|SetPanic|CallPanic|ValuePanic|SetIter)$",
		why: "they expect a panic's text to name the method of reflect.Value that was called",
	},
	{
		pack: "log/slog", skip: "^(TestJSONAndTextHandlers|TestConnections|TestCallDepth|TestPanics|TestRecordSource|TestLogValue|Example_wrapping)$",
		why: "they expect log lines with the caller's file and line",
	},
	{
		pack: "runtime/debug", skip: "^(TestStack|TestSetCrashOutput)$",
		why: "they look for names, files and lines in the text of a stack",
	},
	{
		pack: "runtime/pprof", run: "^(TestCPUProfileWithFork|TestGoroutineSwitch|TestMathBigDivide|TestContextLabels|TestLabelMapStringer)$",
		why: "the other tests look for names in profiles, for up to minutes each",
	},
	{
		pack: "runtime", run: "GC|Stack|Defer|Chan|Finalizer|Cleanup|Recover|Goexit|Select|Map|Timer|Preempt|Growth|Goroutine|Panic",
		skip: "Traceback|Crash|^TestCallers|^TestStackWrapperStack|^TestPanicInlined$|^TestRuntimePanic$|^TestG0StackOverflow$|^TestDebugCall",
		why: "the other tests build their own programs, which are not stripped, or compare names in a crash, a caller or " +
			"a profile; and a debugger may only call from functions that the runtime knows by name",
	},
}

// emulatedTests run for every platform. Tests that start their own program again are skipped, because the kernel does
// not know that the program needs an emulator.
var emulatedTests = map[string]string{
	"context": "", "reflect": "", "encoding/json": "", "sync": "|^(TestMutexMisuse|TestIssue76126)$",
}

// tailscaleTests are packages of Tailscale, compiled like in the recipe.
var tailscaleTests = []ownTests{
	{
		pack: "util/eventbus", skip: "^(TestSubscriberFunc|TestSlowSubs)$",
		why: "they expect a log with the package, file and line that created a subscriber",
	},
	{pack: "util/singleflight"}, {pack: "util/deephash"}, {pack: "util/execqueue"},
	{pack: "types/key"}, {pack: "types/netmap"}, {pack: "types/views"},
	{pack: "wgengine/magicsock"}, {pack: "net/packet"}, {pack: "net/stun"}, {pack: "net/tsaddr"}, {pack: "net/tstun"}, {pack: "wgengine/filter"},
}

// In stripped programs, all of Go's own tests pass except those that expect names or lines.
func TestGosOwnTests(t *testing.T) {
	testmode.Long(t)
	if passedBefore(t, "gotests_test.go") {
		return
	}
	for _, toolchain := range toolchains {
		source := filepath.Join(goCommand(t, ".", environment(toolchain, native(t)), "env", "GOROOT"), "src")
		for _, tests := range goTests {
			t.Run(toolchain+"/"+tests.pack, func(t *testing.T) { tests.pass(t, ordinary(toolchain, native(t)), native(t), source) })
			t.Run(toolchain+"/short records/"+tests.pack, func(t *testing.T) {
				tests.pass(t, withShortRecords(t, toolchain, native(t)), native(t), source)
			})
		}
	}
	source := filepath.Join(goCommand(t, ".", environment(toolchains[0], native(t)), "env", "GOROOT"), "src")
	for _, target := range platform.All() {
		if !emulated(target) {
			continue
		}
		for _, tests := range goTests {
			if more, ok := emulatedTests[tests.pack]; ok {
				tests.skip = strings.TrimPrefix(tests.skip+more, "|")
				t.Run(target.Name+"/"+tests.pack, func(t *testing.T) { tests.pass(t, ordinary(toolchains[0], target), target, source) })
			}
		}
	}
}

// Some of Tailscale's tests need gVisor, in a version that not every Go proxy has for the newest release.
func TestTailscalesOwnTests(t *testing.T) {
	testmode.Long(t)
	if passedBefore(t, "gotests_test.go") {
		return
	}
	env := environment(toolchains[0], native(t))
	module := "tailscale.com@v" + recipe.PreviousTailscaleVersion
	goCommand(t, t.TempDir(), env, "mod", "download", module)
	source := filepath.Join(goCommand(t, ".", env, "env", "GOMODCACHE"), module)
	for _, tests := range tailscaleTests {
		t.Run(tests.pack, func(t *testing.T) {
			tests.pass(t, ordinary(toolchains[0], native(t)), native(t), source, asTailscale...)
		})
	}
}

// pass compiles the tests of a package, strips the program, and runs it in the package's directory.
func (o ownTests) pass(t *testing.T, c compiler, target platform.Target, source string, flags ...string) {
	program := filepath.Join(t.TempDir(), "own.test")
	c = c.withEndingTests(t)
	args := append([]string{"test", "-c", "-o", program}, flags...)
	c.run(t, source, append(args, "./"+o.pack)...)
	cmd := command(t, target, stripWith(t, c.strip, program), "-test.short", "-test.v", "-test.timeout=10m", "-test.run="+o.run, "-test.skip="+o.skip)
	cmd.Dir = filepath.Join(source, o.pack)
	out, code := run(t, cmd, "GOTOOLCHAIN="+c.toolchain)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, last(out, 100))
	}
	passed := strings.Count("\n"+out, "\n--- PASS: ")
	if passed == 0 {
		t.Fatalf("no test has passed:\n%s", last(out, 100))
	}
	t.Logf("%d tests passed stripped", passed)
	if o.why != "" {
		t.Logf("not all tests ran: %s", o.why)
	}
}

// last returns the last lines of a text.
func last(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
