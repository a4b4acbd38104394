package pclntab_test

import (
	"debug/elf"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
)

// whatWorks has the names of the things that the test program tries everywhere. It also tries Go's own profiler,
// except on ARMv5, where the profiler is unreliable.
var whatWorks = []string{"callers", "caller", "defer", "goexit", "nil method", "growing stacks", "collecting", "preemption",
	"reflected calls", "stack text", "profiles", "trace", "iterators", "finalizers", "logs", "signals", "faults"}

// Everything that uses the function table works in a stripped program.
func TestStrippedProgramWorks(t *testing.T) {
	if passedBefore(t, "runtime_test.go") {
		return
	}
	eachWay(t, func(t *testing.T, toolchain string, target platform.Target, flags []string) {
		program := build(t, toolchain, target, "program", flags...)
		got, code := run(t, command(t, target, strip(t, program), "works"))
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
		if emulated(target) {
			return
		}
		whole, code := run(t, command(t, target, program, "works"))
		if code != 0 || !strings.Contains(whole, "name: main.caller\n") || calls(whole) != calls(got) {
			t.Errorf("the program before (exit code %d) has %s calls, stripped %s", code, calls(whole), calls(got))
		}
	})
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
