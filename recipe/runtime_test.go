package recipe_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// goReleases are the Go releases that compile the supported Tailscale releases.
var goReleases = []string{recipe.GoVersion, "1.27.3"}

// Go's own tests pass with the changed files, which the compiler reads through its overlay.
func TestGoPassesItsTestsWithTheChangedFiles(t *testing.T) {
	testmode.Long(t)
	for _, release := range goReleases {
		report := output(t, withRuntime(t, release, []string{"sh", "-euc", `
			unset GOGC GOMEMLIMIT GOFLAGS # they are for the compiler, and change what the tests see
			go test -overlay "$2" -short runtime slices sort maps >"$1" || { cat "$1" >&2; exit 1; }
			cat "$2" >>"$1"`,
			"sh", recipe.OutDir + "/report", recipe.BuildDir + "/overlay.json"}))
		if strings.Count(report, "ok  \t") != 4 || !strings.Contains(report, "/src/runtime/mspanset.go") || !strings.Contains(report, "/src/slices/sort.go") {
			t.Errorf("the tests of Go %s print:\n%s", release, report)
		}
	}
}

// Unknown files are not changed. The build stops and names the solution.
func TestAnUnknownRuntimeIsRefused(t *testing.T) {
	const spans = "\tspanSetBlockEntries = 512 // 4KB\n\tspanSetInitSpineCap = 256 // 64GB\n"
	for name, c := range map[string]struct{ spans, sort, want string }{
		"lists of spans": {"package runtime\n", "", "runtime/mspanset.go of "},
		"sorting":        {spans, "\tpdqsortOrdered(x, 0, n, bits.Len(uint(n)))\n", "slices/sort.go of "},
	} {
		t.Run(name, func(t *testing.T) {
			s := withRuntime(t, recipe.GoVersion)
			s.Files = []recipe.File{{Name: "src/runtime/mspanset.go", Content: c.spans}, {Name: "src/slices/sort.go", Content: c.sort}}
			s.Env = append(s.Env, recipe.Variable{Name: "GOROOT", Value: recipe.InDir})
			d := open(t)
			_, err := d.Output(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "build with the stock runtime") {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestTheStockRuntimeIsUnchanged(t *testing.T) {
	c := validConfig(t)
	c.StockRuntime = true
	for _, step := range (recipe.Plan{Target: native(t), Config: c, Resolved: recipe.Resolved{}}.Tailscale()).Steps {
		if line := strings.Join(step, " "); strings.Contains(line, "mspanset") || strings.Contains(line, "-overlay") {
			t.Errorf("a step changes the runtime: %s", line)
		}
	}
}

// withRuntime returns the stage that compiles Tailscale, with all steps removed except for the one that changes the
// runtime, followed by the given ones.
func withRuntime(t *testing.T, goRelease string, steps ...[]string) recipe.Stage {
	t.Helper()
	s := recipe.Plan{Target: native(t), Config: validConfig(t), Resolved: recipe.Resolved{Go: goRelease}}.Tailscale()
	change := slices.IndexFunc(s.Steps, func(step []string) bool { return strings.Contains(strings.Join(step, " "), "mspanset") })
	if change < 0 {
		t.Fatal("no step changes the runtime")
	}
	s.Name, s.Output = "runtime", "report"
	s.Inputs = nil
	s.Steps = append([][]string{s.Steps[change]}, steps...)
	return s
}

func validConfig(t *testing.T) recipe.Config {
	t.Helper()
	c := recipe.Default()
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	return c
}

// native returns this machine's own platform.
func native(t *testing.T) platform.Target {
	t.Helper()
	target, err := platform.Parse(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	return target
}
