package main

import (
	"debug/elf"
	"debug/gosym"
	"io"
	"slices"
	"testing"

	"dagger/mikrotik-tailscale/assembly"
	"dagger/mikrotik-tailscale/platform"
)

// Where processors have no assembly for the tailnet's cipher, calls in it make it several times slower.
func TestTheCipherIsInlined(t *testing.T) {
	o := newOptions()
	if err := o.resolve(); err != nil {
		t.Fatal(err)
	}
	arm := slices.DeleteFunc(platform.All(), func(p platform.Target) bool { return p.Architecture != "arm" })
	err := o.products(t.Context(), arm, newProgress(io.Discard), func(_ assembly.Outputs, products []assembly.Product, _ string) error {
		for _, p := range products {
			functions := functionsOf(t, p.Programs["tailscale"])
			if blocks := "golang.org/x/crypto/chacha20.(*Cipher).xorKeyStreamBlocksGeneric"; !functions[blocks] {
				t.Errorf("%s: there is no function %s", p.Target, blocks)
			}
			if step := "golang.org/x/crypto/chacha20.quarterRound"; functions[step] {
				t.Errorf("%s: %s is called and not inlined", p.Target, step)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// functionsOf gives the names of the functions that a Go program has.
func functionsOf(t *testing.T, program string) map[string]bool {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, f.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range table.Funcs {
		names[f.Name] = true
	}
	return names
}
