package supervisor_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/daemon/supervisor"
	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// release is the directory of the default Tailscale source.
func release(t *testing.T) string {
	t.Helper()
	testmode.Machine(t)
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "tailscale.com@v"+recipe.TailscaleVersion)
	download.Dir = t.TempDir()
	download.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOTOOLCHAIN=auto")
	out, err := download.Output()
	if err != nil {
		t.Fatalf("downloading Tailscale's source: %v\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	return module.Dir
}

// names returns names in a directory's Go files, except for test files.
func names(t *testing.T, directory, pattern string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1) {
			found[match[1]] = true
		}
	}
	if len(found) < 10 {
		t.Fatalf("%s has only %v", directory, found)
	}
	return found
}

// The test notices a variable that a new release of the official image adds.
func TestEveryVariableOfTheOfficialImageIsKnown(t *testing.T) {
	for name := range names(t, filepath.Join(release(t), "cmd/containerboot"), `"((?:TS|EXPERIMENTAL)_[A-Z0-9_]+)"`) {
		if !supervisor.Known(name) {
			t.Errorf("the official image has %s: support it, or say what to do instead", name)
		}
	}
}

// The same for flags of the daemon.
func TestEveryFlagOfTheDaemonIsKnown(t *testing.T) {
	for name := range names(t, filepath.Join(release(t), "cmd/tailscaled"), `flag\.(?:[A-Za-z0-9]+\(&[a-zA-Z.]+|Var\(.+?), "([a-z0-9-]+)"`) {
		if !supervisor.DaemonFlag(name) {
			t.Errorf("tailscaled has the flag --%s, which is not in the list", name)
		}
	}
}
