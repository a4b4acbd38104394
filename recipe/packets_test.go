package recipe_test

import (
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
		s := recipe.Plan{Target: target, Config: validConfig(t), Resolved: recipe.Resolved{Go: "1.27.3"}}.Tailscale()
		changed := slices.IndexFunc(s.Steps, func(step []string) bool { return strings.Contains(strings.Join(step, " "), "mod edit -replace") })
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

func isRuntimeStep(step []string) bool { return strings.Contains(strings.Join(step, " "), "mspanset") }
