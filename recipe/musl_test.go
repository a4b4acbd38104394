package recipe_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// Compiling the C library twice results in the same bytes.
func TestTheCLibraryIsReproducible(t *testing.T) {
	testmode.Long(t)
	s := recipe.Musl(native(t), validConfig(t))
	again := s
	again.Env = []recipe.Variable{{Name: "TRY", Value: "again"}} // so that the first output is not reused
	if first := output(t, s); len(first) < 100_000 || output(t, again) != first {
		t.Errorf("the second build of %d bytes differs", len(first))
	}
}

// Only a part of the C library is compiled. A user's list may have any applet of the catalogue.
func TestTheCLibraryHasWhatEveryAppletNeeds(t *testing.T) {
	testmode.Long(t)
	all, err := applets.Parse("all", strings.NewReader(strings.Join(applets.Catalogue(), "\n")))
	if err != nil {
		t.Fatal(err)
	}
	c := validConfig(t)
	c.Applets = all
	for _, target := range platform.All() {
		t.Run(target.Name, func(t *testing.T) { output(t, recipe.Busybox(target, c)) })
	}
}

// Other applets need more of the C library. The launcher doesn't, so other applets don't pack Tailscale again.
func TestTheDefaultAppletsNeedLessOfTheCLibrary(t *testing.T) {
	c := validConfig(t)
	minimal, err := applets.Named("minimal")
	if err != nil {
		t.Fatal(err)
	}
	other := c
	other.Applets = minimal
	names := func(c recipe.Config) []string { return strings.Fields(recipe.Musl(native(t), c).Files[0].Content) }
	few, all := names(c), names(other)
	if len(few) < 400 || len(all) < len(few)+90 || !slices.Equal(all[:len(few)], few) {
		t.Errorf("the default applets need %d files, and any applets need %d", len(few), len(all))
	}
	one, two := recipe.Compress(native(t), c, nil), recipe.Compress(native(t), other, nil)
	if !reflect.DeepEqual(one, two) {
		t.Error("the launcher depends on the applets")
	}
}

// It isn't known what another release of busybox needs.
func TestTheWholeCLibraryIsCompiledForAnotherBusybox(t *testing.T) {
	c := validConfig(t)
	part := recipe.Musl(native(t), c)
	c.BusyboxVersion = "1.37.0"
	if whole := recipe.Musl(native(t), c); len(part.Files) != 1 || len(whole.Files) != 0 || len(whole.Steps) != len(part.Steps)-1 {
		t.Errorf("the stages are\n%q\n%q", part.Steps, whole.Steps)
	}
}
