package recipe_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// The modules that the build changes pass their own tests, and contain the changes. This machine's processor also runs
// the changed loop of the cipher.
func TestChangedModulesPassTheirTests(t *testing.T) {
	testmode.Long(t)
	for name, check := range map[string]string{
		"arm64": `grep -q 'i < words' crypto/chacha20/chacha_generic.go
			go -C crypto test ./chacha20 ./chacha20poly1305 >"$1"`,
		"armv5": `grep -q 'return checksumWords(data, initial)$' wireguard/tun/checksum_generic.go
			grep -q 'make(\[\]\[\]byte, 1, 2)$' wireguard/tun/offload_linux.go
			[ "$(grep -c 'make(map.*ElementsContainer)$' wireguard/device/send.go wireguard/device/receive.go | grep -c ':1$')" = 2 ]
			go -C wireguard test ./tun ./device >"$1"`,
	} {
		target, err := platform.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		s := recipe.Plan{Target: target, Config: validConfig(t), Resolved: recipe.Resolved{Go: recipe.TailscaleGo}}.Tailscale()
		changed := slices.IndexFunc(s.Steps, func(step []string) bool { return strings.Contains(strings.Join(step, " "), "-replace=") })
		if changed < 0 {
			t.Fatalf("%s: no step changes a module", name)
		}
		s.Name, s.Output, s.Inputs = "changed modules", "report", nil
		s.Steps = slices.Concat(s.Steps[:2], s.Steps[changed:slices.IndexFunc(s.Steps, isRuntimeStep)], [][]string{{"sh", "-euc", `
			export GOOS= GOARCH= GOARM= # this machine's
			unset GOGC GOMEMLIMIT
			` + check, "sh", recipe.OutDir + "/report"}})
		if report := output(t, s); !strings.Contains(report, "ok ") || strings.Contains(report, "FAIL") {
			t.Errorf("%s: the tests print:\n%s", name, report)
		}
	}
}

// A release may have other code in one of several places of a file. Nothing of that file is changed then, and the build
// says so.
func TestAFileWithOtherCodeIsNotChanged(t *testing.T) {
	const loop = "\t\tfor i, b := range keyStream {\n"
	const inLoop = "\t\t\tdst[i] = src[i] ^ b\n\t\t}\n"
	for name, c := range map[string]struct {
		code    string
		changed bool
	}{
		"the known code":  {loop + inLoop, true},
		"another loop":    {"\t\tfor i := range keyStream {\n" + inLoop, false},
		"another body":    {loop + "\t\t\tdst[i] ^= b\n\t\t}\n", false},
		"twice":           {loop + inLoop + loop + inLoop, false},
		"nothing of this": {"package chacha20\n", false},
		"no such file":    {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			const file = "crypto/chacha20/chacha_generic.go"
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if c.code != "" {
				if err := os.WriteFile(file, []byte(c.code), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			step := stepWith(t, "arm64", "i < words")
			for i := range step {
				step[i] = strings.ReplaceAll(step[i], recipe.NotesFile, "notes")
			}
			if printed, err := exec.CommandContext(t.Context(), step[0], step[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, printed)
			}
			now, err := os.ReadFile(file)
			if err != nil && c.code != "" {
				t.Fatal(err)
			}
			if changed := string(now) != c.code; changed != c.changed {
				t.Errorf("changed = %v, want %v:\n%s", changed, c.changed, now)
			}
			want := ""
			if !c.changed {
				want = file + " of this release has other code, and is compiled unchanged\n"
			}
			if notes, err := os.ReadFile("notes"); string(notes) != want || err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("told the user %q, want %q: %v", notes, want, err)
			}
		})
	}
}

// stepWith returns the only step of the compilation for a platform that contains a text.
func stepWith(t *testing.T, arch, text string) []string {
	t.Helper()
	target, err := platform.Parse(arch)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]string
	for _, step := range (recipe.Plan{Target: target, Config: validConfig(t)}).Tailscale().Steps {
		if strings.Contains(strings.Join(step, " "), text) {
			found = append(found, step)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d steps with %q, want 1", len(found), text)
	}
	return found[0]
}

func isRuntimeStep(step []string) bool { return strings.Contains(strings.Join(step, " "), "mspanset") }
