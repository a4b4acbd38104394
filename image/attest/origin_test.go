package attest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// One cache may contain roots from the snapshot service and roots from Debian's archive.
func TestProvenanceSaysWherePackagesCameFrom(t *testing.T) {
	c := recipe.Default()
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	outputs := func(_ context.Context, s recipe.Stage) (string, error) {
		origin := recipe.OriginSnapshot
		if slices.Contains(s.Packages.Names, "gcc") {
			origin = recipe.OriginArchive
		}
		path := filepath.Join(dir, s.Packages.Names[0])
		return path, os.WriteFile(path, []byte(origin+"\n"+s.Packages.Names[0]+" amd64 1.0\n"), 0o644)
	}
	b := Build{Builder: BuilderCommand, Products: []assembly.Product{{Plan: recipe.Plan{Target: platform.All()[0], Config: c}}}}
	text, err := Provenance(t.Context(), outputs, b, []Subject{{Name: "x", SHA256: strings.Repeat("0", 64)}})
	if err != nil {
		t.Fatal(err)
	}
	var statement struct {
		Predicate struct {
			BuildDefinition struct {
				InternalParameters   struct{ PackagesFrom []string }
				ResolvedDependencies []struct{ URI string }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &statement); err != nil {
		t.Fatal(err)
	}
	definition := statement.Predicate.BuildDefinition
	if want := []string{recipe.OriginSnapshot, recipe.OriginArchive}; !slices.Equal(definition.InternalParameters.PackagesFrom, want) {
		t.Errorf("packages are from %q; want %q", definition.InternalParameters.PackagesFrom, want)
	}
	for _, want := range []string{"pkg:deb/debian/ca-certificates@1.0", "pkg:deb/debian/bzip2@1.0"} {
		if !strings.Contains(text, want) {
			t.Errorf("the provenance lacks %s", want)
		}
	}
}

func TestAMalformedListOfPackagesIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "packages")
	if err := os.WriteFile(path, []byte(recipe.OriginArchive+"\nlibc6 amd64\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	outputs := func(context.Context, recipe.Stage) (string, error) { return path, nil }
	_, err := installed(t.Context(), outputs, recipe.Certificates())
	if err == nil || !strings.Contains(err.Error(), `malformed line "libc6 amd64\n"`) {
		t.Errorf("error = %v", err)
	}
}
