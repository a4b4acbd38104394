package pclntab_test

import (
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/shrink/pclntab"
)

func TestFunctionsCoverTheCode(t *testing.T) {
	functions, err := pclntab.Functions(symbolsOf(t, build(t, toolchains[0], native(t), "program", asTailscale...)))
	if err != nil {
		t.Fatal(err)
	}
	end, found := functions[0].Begin, false
	for _, f := range functions {
		if f.Begin != end || f.End <= f.Begin {
			t.Fatalf("%s is from %d to %d; want it to begin at %d", f.Name, f.Begin, f.End, end)
		}
		end = f.End
		found = found || f.Name == "runtime.mallocgc"
	}
	if !found {
		t.Errorf("none of the %d functions is runtime.mallocgc", len(functions))
	}
}

func TestFunctionsOfSomethingElse(t *testing.T) {
	if _, err := pclntab.Functions([]byte("text")); err == nil || !strings.Contains(err.Error(), "reading the symbols: ") {
		t.Errorf("error = %v", err)
	}
}
