package pclntab_test

import (
	"debug/elf"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/platform"
)

// whatWorks has the names of the things that the test program tries everywhere. It also tries Go's own profiler,
// except on ARMv5, where the profiler is unreliable.
var whatWorks = []string{"callers", "caller", "defer", "goexit", "nil method", "growing stacks", "collecting", "preemption",
	"reflected calls", "stack text", "profiles", "trace", "iterators", "finalizers", "logs", "signals", "faults"}

// Everything that uses the function table works in a stripped program.
func TestStrippedProgramWorks(t *testing.T) {
	t.Parallel()
	if passedBefore(t, "runtime_test.go") {
		return
	}
	eachWay(t, func(t *testing.T, toolchain string, target platform.Target, flags []string) {
		program := build(t, toolchain, target, "program", flags...)
		got := works(t, target, strip(t, program))
		if emulated(target) {
			return
		}
		whole, code := run(t, command(t, target, program, "works"))
		if code != 0 || !strings.Contains(whole, "name: main.caller\n") || calls(whole) != calls(got) {
			t.Errorf("the program before (exit code %d) has %s calls, stripped %s", code, calls(whole), calls(got))
		}
	})
}

// The same holds for a program with short records. Before it is stripped, it doesn't start.
func TestProgramWithShortRecordsWorks(t *testing.T) {
	t.Parallel()
	if passedBefore(t, "runtime_test.go") {
		return
	}
	for i, toolchain := range toolchains {
		for _, target := range platform.All() {
			if emulated(target) && (i > 0 || !testmode.IsLong()) {
				continue
			}
			t.Run(toolchain+"/"+target.Name, func(t *testing.T) {
				c := withShortRecords(t, toolchain, target)
				program := c.build(t, "program", asTailscale...)
				got := works(t, target, stripWith(t, c.strip, program))
				if whole := works(t, target, strip(t, build(t, toolchain, target, "program", asTailscale...))); calls(whole) != calls(got) {
					t.Errorf("the program has %s calls, with short records %s", calls(whole), calls(got))
				}
				if out, code := run(t, command(t, target, program, "works")); code == 0 || !strings.Contains(out, "invalid function symbol table") {
					t.Errorf("before it is stripped, the program ends with %d:\n%s", code, out)
				}
			})
		}
	}
}

// works runs a stripped program, and returns what it prints. Everything that the program tries must work.
func works(t *testing.T, target platform.Target, stripped string) string {
	t.Helper()
	got, code := run(t, command(t, target, stripped, "works"))
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, got)
	}
	for _, thing := range whatWorks {
		if !saysWorking(got, thing) {
			t.Errorf("%s does not work:\n%s", thing, got)
		}
	}
	if tried := saysWorking(got, "processor profile"); tried != (target.GOARM != "5") {
		t.Errorf("the processor profile was tried: %v\n%s", tried, got)
	}
	if strings.Contains(got, "main.") || !strings.Contains(got, "name: ?.(*?).?\n") {
		t.Errorf("a name was not removed, or is unexpected:\n%s", got)
	}
	return got
}

func saysWorking(out, thing string) bool { return strings.Contains("\n"+out, "\n"+thing+"\n") }

// calls returns the number of calls that the program has counted, including inlined ones.
func calls(out string) string {
	_, rest, _ := strings.Cut(out, "calls: ")
	n, _, _ := strings.Cut(rest, "\n")
	return n
}

// A stripped program has the same layout as the original.
func TestStrippedProgramHasTheSameForm(t *testing.T) {
	program := build(t, toolchains[0], native(t), "program")
	stripped := strip(t, program)
	before, after := read(t, program), read(t, stripped)
	if len(before) != len(after) {
		t.Fatalf("%d bytes became %d", len(before), len(after))
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	// Only the table and the functions' data may change.
	touched := map[string]bool{}
	for i := range before {
		if before[i] == after[i] {
			continue
		}
		where := "outside of all sections"
		for _, s := range file.Sections {
			if s.Type != elf.SHT_NOBITS && uint64(i) >= s.Offset && uint64(i) < s.Offset+s.Size {
				where = s.Name
			}
		}
		touched[where] = true
	}
	delete(touched, ".gopclntab")
	delete(touched, ".go.func") // the functions' data, if it has its own section
	if len(touched) > 0 {
		t.Errorf("changed outside of the function table: %v", touched)
	}
}
