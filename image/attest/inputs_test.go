package attest

import (
	"testing"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// An input may be the user's own file, which no stage builds.
func TestAStageWithAUsersFileIsInTheProvenance(t *testing.T) {
	busybox := recipe.Busybox(platform.All()[0], recipe.Default())
	for want, s := range map[string]recipe.Stage{
		ownFile:         recipe.Compress(platform.All()[0], recipe.Default(), nil),
		busybox.Title(): recipe.Compress(platform.All()[0], recipe.Default(), &busybox),
	} {
		if got := described([]recipe.Stage{s})[0]["inputs"].(map[string]string)["binary"]; got != want {
			t.Errorf("%s: the binary comes from %q; want %q", s.Title(), got, want)
		}
	}
}
