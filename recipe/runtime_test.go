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
var goReleases = []string{recipe.GoVersion, recipe.TailscaleGo}

// Go's own tests pass with the changed files, which the compiler reads through its overlay. Package pclntab tests short
// records.
func TestGoPassesItsTestsWithTheChangedFiles(t *testing.T) {
	testmode.Long(t)
	for _, release := range goReleases {
		c := validConfig(t)
		c.KeepSymbols = true // the tests aren't stripped
		report := output(t, withRuntime(t, c, release, []string{"sh", "-euc", `
			unset GOGC GOMEMLIMIT GOFLAGS # they are for the compiler, and change what the tests see
			go test -overlay "$2" -short runtime slices sort maps crypto/x509 >"$1" || { cat "$1" >&2; exit 1; }
			cat "$2" >>"$1"`,
			"sh", recipe.OutDir + "/report", recipe.BuildDir + "/overlay.json"}))
		if strings.Count(report, "ok  \t") != 5 || !strings.Contains(report, "/src/runtime/mspanset.go") || !strings.Contains(report, "/src/slices/sort.go") ||
			!strings.Contains(report, "/src/runtime/lock_spinbit.go") {
			t.Errorf("the tests of Go %s print:\n%s", release, report)
		}
	}
}

// Unknown files are not changed. The build stops and names the solution.
func TestAnUnknownRuntimeIsRefused(t *testing.T) {
	known := map[string]string{
		"runtime/mspanset.go": "\tspanSetBlockEntries = 512 // 4KB\n\tspanSetInitSpineCap = 256 // 64GB\n",
		"slices/sort.go":      "\tpdqsortOrdered(x, 0, n, bits.Len(uint(n)))\n\tpdqsortCmpFunc(x, 0, n, bits.Len(uint(n)), cmp)\n",
		"crypto/x509/cert_pool.go": "func (s *CertPool) addCertFunc(rawSum224 sum224, rawSubject string, getCert func() (*Certificate, error), " +
			"constraint func([]*Certificate) error) {\n",
		"runtime/runtime2.go": "type _func struct {\n\tnameOff  int32 // name\n\tpcfile    uint32\n\tpcln      uint32\n\tnpcdata   uint32\n\tcuOffset  uint32 // unit\n" +
			"\tstartLine int32 // line\n\t_         [1]byte // pad\n}\n",
		"runtime/symtab.go": "a function that reads records in another way\n",
	}
	for name, c := range map[string]struct{ path, content string }{
		"lists of spans": {"runtime/mspanset.go", "package runtime\n"},
		"sorting":        {"slices/sort.go", "\tpdqsortOrdered(x, 0, n, bits.Len(uint(n)))\n"},
		"certificates":   {"crypto/x509/cert_pool.go", "func (s *CertPool) addCertFunc(c *Certificate) {\n"},
		"records":        {"runtime/runtime2.go", "type _func struct {\n\tpcfile    uint32\n}\n"},
		"their users":    {"runtime/symtab.go", known["runtime/symtab.go"]},
	} {
		t.Run(name, func(t *testing.T) {
			s := withRuntime(t, validConfig(t), recipe.GoVersion)
			s.Files = nil
			for path, content := range known {
				if path == c.path {
					content = c.content
				}
				s.Files = append(s.Files, recipe.File{Name: "src/" + path, Content: content})
			}
			s.Env = append(s.Env, recipe.Variable{Name: "GOROOT", Value: recipe.InDir})
			d := open(t)
			_, err := d.Output(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), c.path+" of ") || !strings.Contains(err.Error(), "build with the stock runtime") {
				t.Errorf("error = %v, want one with %q", err, c.path)
			}
		})
	}
}

// Records are only short in programs that are stripped. Others don't start with such a runtime.
func TestOnlyStrippedProgramsHaveShortRecords(t *testing.T) {
	for name, c := range map[string]struct {
		keepSymbols, stockRuntime, short bool
	}{
		"default":       {false, false, true},
		"keep symbols":  {true, false, false},
		"stock runtime": {false, true, false},
		"both":          {true, true, false},
	} {
		config := validConfig(t)
		config.KeepSymbols, config.StockRuntime = c.keepSymbols, c.stockRuntime
		p := recipe.Plan{Target: native(t), Config: config, Resolved: recipe.Resolved{}}
		has := func(s recipe.Stage, word string) bool {
			return slices.ContainsFunc(s.Steps, func(step []string) bool { return slices.Contains(step, word) })
		}
		if changed, stripped := has(p.Tailscale(), "runtime/symtab.go"), has(p.Stripped(), "-short"); changed != c.short || stripped != c.short {
			t.Errorf("%s: the runtime is changed: %v, records are shortened: %v, want %v", name, changed, stripped, c.short)
		}
	}
}

func TestTheStockRuntimeIsUnchanged(t *testing.T) {
	c := validConfig(t)
	c.StockRuntime = true
	for _, step := range (recipe.Plan{Target: native(t), Config: c, Resolved: recipe.Resolved{}}.Tailscale()).Steps {
		if line := strings.Join(step, " "); strings.Contains(line, "mspanset") || strings.Contains(line, "overlay") {
			t.Errorf("a step changes the runtime: %s", line)
		}
	}
}

// withRuntime returns the stage that compiles Tailscale, with all steps removed except for the one that changes the
// runtime, followed by the given ones.
func withRuntime(t *testing.T, c recipe.Config, goRelease string, steps ...[]string) recipe.Stage {
	t.Helper()
	s := recipe.Plan{Target: native(t), Config: c, Resolved: recipe.Resolved{Go: goRelease}}.Tailscale()
	change := slices.IndexFunc(s.Steps, func(step []string) bool { return strings.Contains(strings.Join(step, " "), "mspanset") })
	if change < 0 {
		t.Fatal("no step changes the runtime")
	}
	s.Name, s.Output = "runtime", "report"
	s.Inputs = nil
	s.Steps = append([][]string{s.Steps[change], stepWith(t, runtime.GOARCH, "noinline")}, steps...)
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
