package main

import (
	"debug/elf"
	"debug/gosym"
	"io"
	"slices"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

// Calls in the code that every packet passes are inlined, and the ARM programs contain the faster checksum.
func TestThePathOfPacketsIsInlined(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	o := newOptions()
	if err := o.resolve(); err != nil {
		t.Fatal(err)
	}
	arm := slices.DeleteFunc(platform.All(), func(p platform.Target) bool { return p.Architecture == "amd64" })
	err := o.products(t.Context(), arm, newProgress(io.Discard), func(_ assembly.StageRunner, products []assembly.Product, _ string) error {
		for _, p := range products {
			const tun = "github.com/tailscale/wireguard-go/tun."
			functions := functionsOf(t, p.Programs["tailscale"])
			if !functions[tun+"handleGRO"] {
				t.Errorf("%s: no function %shandleGRO", p.Target, tun)
			}
			if small := tun + "(*groDisablementFlags).canTCPGRO"; functions[small] {
				t.Errorf("%s: %s is not inlined", p.Target, small)
			}
			if faster := tun + "checksumWords"; functions[faster] != (p.Target.Architecture == "arm") {
				t.Errorf("%s: has %s: %v", p.Target, faster, functions[faster])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// functionsOf returns the names of a Go program's functions.
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
