package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// Each feature of the default release is either in the image or left out on purpose, and none of these has disappeared
// from the release. A test in package recipe compares the features that are left out with docs/design.md.
func TestEveryFeatureOfTheReleaseIsDecided(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	var out, log bytes.Buffer
	if code := run(t.Context(), []string{"features", "--json"}, &out, &log); code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, out.String(), log.String())
	}
	var list struct {
		Features []struct {
			Name  string
			Built bool
		}
	}
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	built := map[string]bool{}
	for _, f := range list.Features {
		built[f.Name] = f.Built
		if f.Built == slices.Contains(recipe.LeftOut(), f.Name) {
			t.Errorf("%s: it is in the image: %t, and left out on purpose: %t", f.Name, f.Built, f.Built)
		}
	}
	for _, name := range recipe.LeftOut() {
		if _, known := built[name]; !known {
			t.Errorf("%s is left out on purpose, but Tailscale %s doesn't have it", name, recipe.TailscaleVersion)
		}
	}
}
