package recipe_test

import (
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// Compiled twice, the C library has the same bytes.
func TestTheCLibraryIsTheSameEachTime(t *testing.T) {
	testmode.Long(t)
	s := recipe.Musl(native(t))
	again := s
	again.Env = []recipe.Variable{{Name: "TRY", Value: "again"}} // so that the first one's output is not taken
	if first := output(t, s); len(first) < 100_000 || output(t, again) != first {
		t.Errorf("it has %d bytes, and others the second time", len(first))
	}
}
