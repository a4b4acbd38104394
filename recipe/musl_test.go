package recipe_test

import (
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// Compiling the C library twice results in the same bytes.
func TestTheCLibraryIsReproducible(t *testing.T) {
	testmode.Long(t)
	s := recipe.Musl(native(t))
	again := s
	again.Env = []recipe.Variable{{Name: "TRY", Value: "again"}} // so that the first output is not reused
	if first := output(t, s); len(first) < 100_000 || output(t, again) != first {
		t.Errorf("the second build of %d bytes differs", len(first))
	}
}
