package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTheEngineAndTheCommandWriteTheSameScripts(t *testing.T) {
	needEngine(t)
	for name, args := range map[string][]string{
		"default": {"--image", "ghcr.io/me/tailscale:stable"},
		"more": {"--tarball", "usb1/tailscale.tar", "--name", "ts", "--disk", "usb1", "--subnet", "192.168.88.0/24,10.0.0.0/8", "--exit-node",
			"--env", "GOGC=50", "--address", "10.1.0.2/24,fd00:1::2/64", "--gateway", "10.1.0.1,fd00:1::1", "--wan-list", "", "--tmpfs", "0",
			"--magic-dns", "tail.example", "--dns", "9.9.9.9", "--memory", "128", "--update-at", "04:30", "--routeros-version", "7.24"},
		"app":    {"--image", "ghcr.io/me/tailscale:stable", "--script", "app"},
		"sites":  {"--image", "ghcr.io/me/tailscale:stable", "--script", "app", "--site", "home=192.168.88.0/24", "--site", "office=192.168.89.0/24"},
		"memory": {"--image", "ghcr.io/me/tailscale:stable", "--root", "memory", "--disk", "flash"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			engine := append([]string{"routeros"}, args...)
			if at := slices.Index(engine, "--env"); at >= 0 {
				engine[at] = envArgument
			}
			mustCall(t, append(engine, "export", "--path", filepath.Join(dir, "engine"))...)
			free := exec.CommandContext(t.Context(), "go", append([]string{"run", "./cmd/mikrotik-tailscale", "routeros", "--output", filepath.Join(dir, "free")}, args...)...)
			if out, err := free.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out, err := exec.CommandContext(t.Context(), "diff", "-r", filepath.Join(dir, "engine"), filepath.Join(dir, "free")).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if out, err := daggerCall(t, "routeros", "--image", "tailscale", "entries"); err == nil || !strings.Contains(out, `malformed image "tailscale"`) {
		t.Errorf("error %v:\n%s", err, lastLines(out, 10))
	}
}

// envArgument is what the module calls the command's --env. Since 1.0, dagger has a flag of that name, and doesn't run a
// function that has one, too.
const envArgument = "--container-env"

// The module and the command have the same options under the same names.
func TestTheScriptsHaveTheSameOptionsBothWays(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), "go", "run", "./cmd/mikrotik-tailscale", "routeros", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{}
	for word := range strings.FieldsSeq(string(help)) {
		if name, ok := strings.CutPrefix(word, "--"); ok {
			flags[name] = true
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "routeros.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "Routeros" {
			continue
		}
		for _, p := range f.Type.Params.List {
			seen++
			name := kebab(p.Names[0].Name)
			if "--"+name == envArgument {
				name = "env"
			}
			if !flags[name] {
				t.Errorf("the command has no --%s", name)
			}
		}
	}
	if seen < 30 {
		t.Errorf("found %d arguments of the function", seen)
	}
}

func TestTheEngineAndTheCommandMakeTheSamePage(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	engine, free := filepath.Join(dir, "engine.html"), filepath.Join(dir, "free.html")
	mustCall(t, "page", "--image", "ghcr.io/me/tailscale:stable", "--options", "firewall=true,subnet=192.168.88.0/24", "export", "--path", engine)
	command := exec.CommandContext(t.Context(), "go", "run", "./cmd/mikrotik-tailscale", "routeros", "--page",
		"--image", "ghcr.io/me/tailscale:stable", "--firewall", "--subnet", "192.168.88.0/24", "--output", free)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "cmp", engine, free).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for option, want := range map[string]string{"color=red": `unknown option "color"`, "subnet=x": `malformed subnet "x"`, "firewall": "want NAME=VALUE"} {
		if out, err := daggerCall(t, "page", "--options", option, "size"); err == nil || !strings.Contains(out, want) {
			t.Errorf("error %v; want %s:\n%s", err, want, lastLines(out, 10))
		}
	}
}
