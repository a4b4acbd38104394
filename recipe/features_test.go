package recipe_test

import (
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// An older TailscaleGo only takes longer. A later one would compile the image, although the release doesn't ask for it.
func TestTheRecordedGoIsWhatTheDefaultReleaseRequires(t *testing.T) {
	testmode.Machine(t)
	c := validConfig(t)
	text := output(t, recipe.ResolveFeatures(c))
	resolved, err := recipe.Resolve(c, text)
	if err != nil {
		t.Fatal(err)
	}
	if resolved.Go != recipe.TailscaleGo {
		t.Errorf("Tailscale %s is compiled by Go %s, and TailscaleGo is %s", recipe.TailscaleVersion, resolved.Go, recipe.TailscaleGo)
	}
}
