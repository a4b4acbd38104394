package recipe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/recipe"
)

func TestMagicDNSIsAnsweredWithoutANetworkStack(t *testing.T) {
	for feature, want := range map[string]bool{"dns": true, "netstack": false} {
		added := map[string]bool{}
		for _, f := range (recipe.Plan{Target: native(t), Config: validConfig(t), Resolved: recipe.Resolved{Features: []string{feature}}}.Tailscale()).Files {
			added[f.Name] = true
		}
		for _, name := range []string{"magicdns.go", "magicdns/responder.go", "magicdns/packet.go", "magicdns/tcp.go"} {
			if added[name] != want {
				t.Errorf("with the feature %s, the file %s is added: %t; want %t", feature, name, added[name], want)
			}
		}
	}
}

// guard returns the step that keeps a release from panicking when it sends a packet of its own, or nil if it needs
// none.
func guard(t *testing.T, version string, features ...string) []string {
	t.Helper()
	c := validConfig(t)
	c.TailscaleVersion = version
	for _, step := range (recipe.Plan{Target: native(t), Config: c, Resolved: recipe.Resolved{Features: features}}.Tailscale()).Steps {
		if strings.Contains(strings.Join(step, " "), "invertGSOChecksum") {
			return step
		}
	}
	return nil
}

func TestReleasesThatPanicOnTheirOwnPackets(t *testing.T) {
	for version, want := range map[string]bool{"1.100.3": true, "1.102.5": true, "1.104.0": false, "1.104.5": false, "1.200.0": false, "2.0.0": false} {
		if got := guard(t, version, "dns") != nil; got != want {
			t.Errorf("%s is changed: %t; want %t", version, got, want)
		}
		if guard(t, version, "netstack") != nil {
			t.Errorf("%s is changed, although it has the network stack", version)
		}
	}
}

func TestOnlyTheKnownLineIsChanged(t *testing.T) {
	const known = `package tstun

func other() {
	panic("unreachable")
}

func invertGSOChecksum(pkt []byte) {
	if !buildfeatures.HasNetstack {
		panic("unreachable")
	}
}

func another() {
	panic("unreachable")
}
`
	for name, c := range map[string]struct{ source, want string }{
		"known":          {known, strings.Replace(known, "HasNetstack {\n\t\tpanic(\"unreachable\")", "HasNetstack {\n\t\treturn", 1)},
		"another name":   {strings.ReplaceAll(known, "invertGSOChecksum", "invert"), ""},
		"without a line": {strings.ReplaceAll(known, `panic("unreachable")`, "return"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "tailscale/net/tstun/wrap.go")
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.source), 0o644); err != nil {
				t.Fatal(err)
			}
			step := guard(t, "1.102.5")
			run := exec.CommandContext(t.Context(), step[0], step[1:]...)
			run.Dir = dir
			out, err := run.CombinedOutput()
			if c.want == "" {
				if err == nil || !strings.Contains(string(out), "build it with the feature netstack") {
					t.Errorf("the step ends with %v and prints %s", err, out)
				}
				return
			}
			got, _ := os.ReadFile(file)
			if err != nil || string(got) != c.want {
				t.Errorf("the step ends with %v, %s\nthe file is\n%s", err, out, got)
			}
		})
	}
}
