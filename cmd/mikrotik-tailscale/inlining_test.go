package main

import (
	"cmp"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// On processors without assembly for the tailnet's cipher, function calls in it make it several times slower.
func TestTheCipherIsInlined(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	o := newOptions()
	if err := o.resolve(); err != nil {
		t.Fatal(err)
	}
	arm := slices.DeleteFunc(platform.All(), func(p platform.Target) bool { return p.Architecture != "arm" })
	err := o.products(t.Context(), arm, newProgress(io.Discard), func(_ assembly.StageRunner, products []assembly.Product, _ string) error {
		for _, p := range products {
			functions := functionsOf(t, p.Programs["tailscale"])
			if blocks := "golang.org/x/crypto/chacha20.(*Cipher).xorKeyStreamBlocksGeneric"; !functions[blocks] {
				t.Errorf("%s: no function %s", p.Target, blocks)
			}
			if step := "golang.org/x/crypto/chacha20.quarterRound"; functions[step] {
				t.Errorf("%s: %s is not inlined", p.Target, step)
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

// BenchmarkCipher measures how long it takes to encrypt a packet: without inlining, with the image's inlining, and
// with inlining in all packages. ARM is emulated, so its times can only be compared with each other.
func BenchmarkCipher(b *testing.B) {
	testtools.Require(b, local.Tool{Command: "qemu-arm-static", Package: "qemu-user-static"})
	o := newOptions()
	if err := o.resolve(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		fmt.Println()
		for _, target := range platform.All() {
			fmt.Printf("%8s: no inlining %7s ns", target.Name, encrypting(b, target, "all=-l"))
			fmt.Printf(", that of the image %7s ns", encrypting(b, target, compilerFlags(recipe.Plan{Target: target, Config: o.config, Resolved: recipe.Resolved{}}.Tailscale())...))
			fmt.Printf(", all %7s ns\n", encrypting(b, target))
		}
	}
}

// compilerFlags returns the values of -gcflags that a stage compiles with.
func compilerFlags(s recipe.Stage) (flags []string) {
	for _, step := range s.Steps {
		for i, arg := range step {
			if arg == "-gcflags" {
				flags = append(flags, step[i+1])
			}
		}
	}
	return flags
}

// encrypting returns the nanoseconds per packet.
func encrypting(b *testing.B, target platform.Target, flags ...string) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "cipher")
	args := []string{"build", "-o", program}
	for _, f := range flags {
		args = append(args, "-gcflags", f)
	}
	build := exec.CommandContext(b.Context(), "go", append(args, "./testdata/cipher")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+target.Architecture, "GOARM="+target.GOARM)
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	e := emulators[target.Name]
	cmd := exec.CommandContext(b.Context(), program)
	if e.program != "" {
		cmd = exec.CommandContext(b.Context(), e.program, program)
		cmd.Env = append(os.Environ(), "QEMU_CPU="+cmp.Or(e.cpu, "max"))
	}
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
