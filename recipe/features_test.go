package recipe_test

import (
	"encoding/json"
	"go/build/constraint"
	"go/version"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// A later TailscaleGo would compile the image although the release doesn't ask for it. With an older one, the build only
// takes longer, so that a new Tailscale release is one changed line.
func TestTheRecordedGoIsNotLaterThanTheDefaultReleaseRequires(t *testing.T) {
	testmode.Machine(t)
	var module struct{ GoMod string }
	goJSON(t, &module, "mod", "download", "-json", "tailscale.com@v"+recipe.TailscaleVersion)
	var required struct{ Go, Toolchain string }
	goJSON(t, &required, "mod", "edit", "-json", module.GoMod)
	for _, release := range []string{"go" + required.Go, required.Toolchain, "go" + recipe.GoVersion} {
		if version.Compare("go"+recipe.TailscaleGo, release) <= 0 {
			return
		}
	}
	t.Errorf("Tailscale %s requires %+v, and TailscaleGo is %s", recipe.TailscaleVersion, required, recipe.TailscaleGo)
}

// A feature costs nothing on a 32-bit router if its code isn't in the image.
func TestFeaturesAreCompiledForAllRouters(t *testing.T) {
	testmode.Machine(t)
	var module struct{ Dir string }
	goJSON(t, &module, "mod", "download", "-json", "tailscale.com@v"+recipe.TailscaleVersion)
	compiled := func(x constraint.Expr, architecture, tags string) bool {
		return x.Eval(func(tag string) bool {
			return tag == "linux" || tag == architecture || slices.Contains(strings.Split(tags, ","), tag)
		})
	}
	limited, features := map[string]constraint.Expr{}, map[string]bool{}
	for path, x := range constraints(t, module.Dir) {
		left := omitted.FindStringSubmatch(x.String())
		if left != nil && compiled(x, "arm64", "") && !compiled(x, "arm", "") {
			limited[path], features[left[1]] = x, true
		}
	}
	if len(limited) == 0 {
		t.Fatal("no file is limited to 64-bit machines, so nothing has to be done for 32-bit ones")
	}
	c := recipe.Default()
	c.Features = slices.Sorted(maps.Keys(features))
	list := strings.Join(c.Features, ":\n") + ":\n\n"
	resolved, err := recipe.Resolve(c, list+"ts_include_cli\n\ngo"+recipe.GoVersion+"\n")
	if err != nil {
		t.Fatal(err)
	}
	for path, x := range limited {
		if !compiled(x, "arm", resolved.Tags) {
			t.Errorf("%s is compiled for arm64, but not for arm: %s", path, x)
		}
	}
	without := "ts_omit_" + strings.Join(c.Features, ",ts_omit_")
	c.Features = nil
	if resolved, err := recipe.Resolve(c, list+without+"\n\ngo"+recipe.GoVersion+"\n"); err != nil || resolved.Tags != without {
		t.Errorf("without the features, the tags are %s, and the error is %v", resolved.Tags, err)
	}
}

// omitted finds the build tag that leaves a feature out.
var omitted = regexp.MustCompile(`!ts_omit_(\w+)`)

// constraints returns the build constraints of all Go files below a directory, by path.
func constraints(t *testing.T, dir string) map[string]constraint.Expr {
	t.Helper()
	all := map[string]constraint.Expr{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if constraint.IsGoBuild(line) {
				all[path], err = constraint.Parse(strings.TrimSpace(line))
				return err
			}
			if strings.HasPrefix(line, "package ") {
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// goJSON runs the go command, and reads the JSON that it prints.
func goJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = t.TempDir() // outside this module, whose checksums lack Tailscale's
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=auto")
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %q: %v\n%s", args, err, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("go %q: %v", args, err)
	}
}
