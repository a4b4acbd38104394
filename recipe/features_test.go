package recipe_test

import (
	"encoding/json"
	"go/version"
	"os"
	"os/exec"
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
