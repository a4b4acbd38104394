package pclntab_test

import (
	"debug/elf"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
)

// whatWorks are the things that the test program tries everywhere. Where Go's own profiler can be trusted, which
// it can't on ARMv5, it tries that, too.
var whatWorks = []string{"callers", "caller", "defer", "goexit", "nil method", "growing stacks", "collecting", "preemption",
	"reflected calls", "stack text", "profiles", "trace", "iterators", "finalizers", "logs", "signals", "faults"}

// Everything in a stripped program works that looks at the function table.
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
				t.Errorf("%s is not said to work:\n%s", thing, got)
			}
		}
		if tried := saysWorking(got, "processor profile"); tried != (target.GOARM != "5") {
			t.Errorf("the processor profile is tried: %v\n%s", tried, got)
		}
		if strings.Contains(got, "main.") || !strings.Contains(got, "name: ?.(*?).?\n") {
			t.Errorf("there is still a name, or another one:\n%s", got)
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

// calls is how many calls, with those that were inlined, the program says there were.
func calls(out string) string {
	_, rest, _ := strings.Cut(out, "calls: ")
	n, _, _ := strings.Cut(rest, "\n")
	return n
}

// A stripped program is of the same form as before.
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
	// Nothing but the table and the functions' data is touched.
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
	delete(touched, ".go.func") // the functions' data where it has a section of its own
	if len(touched) > 0 {
		t.Errorf("changed outside of the function table: %v", touched)
	}
}
