package attest

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

const subject = "0000000000000000000000000000000000000000000000000000000000000000"

// provenanceOf returns a statement about a build in which the output of every stage is the given list of packages.
func provenanceOf(t *testing.T, b Build, packages string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "packages")
	if err := os.WriteFile(path, []byte(recipe.OriginSnapshot+"\n"+packages), 0o644); err != nil {
		t.Fatal(err)
	}
	outputs := func(context.Context, recipe.Stage) (string, error) { return path, nil }
	text, err := Provenance(t.Context(), outputs, b, []Subject{{"x", subject}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// buildOf returns a build for one platform, with a changed default configuration.
func buildOf(t *testing.T, change func(*recipe.Config)) Build {
	t.Helper()
	c := recipe.Default()
	change(&c)
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	return Build{Builder: BuilderCommand, Products: []assembly.Product{{Plan: recipe.Plan{Target: platform.All()[0], Config: c, Resolved: recipe.Resolved{Go: "1.2.3"}}}}}
}

func TestAProvenanceIsReadBack(t *testing.T) {
	b := buildOf(t, func(c *recipe.Config) {
		c.Features, c.Revision, c.Compression = []string{"+ssh"}, 7, recipe.CompressionUPX
		c.Labels, c.Entrypoint = map[string]string{"a": "b"}, []string{"/hello", "-v"}
	})
	b.Products[0].Extra = map[string]string{"/hello": "sha256:ab", "/link": "link:hello"}
	text := provenanceOf(t, b, "make amd64 1.0\n")
	r, err := ReadProvenance(text)
	if err != nil {
		t.Fatal(err)
	}
	// The groups of applets are only for display, so the provenance doesn't have them.
	want := b.Products[0].Config
	if !slices.Equal(r.Config.Applets.Names(), want.Applets.Names()) {
		t.Errorf("applets = %v", r.Config.Applets.Names())
	}
	got := r.Config
	got.Applets = want.Applets
	if !reflect.DeepEqual(got, want) {
		t.Errorf("configuration = %+v\nwant            %+v", got, want)
	}
	if r.Builder != BuilderCommand || !reflect.DeepEqual(r.Extra, b.Products[0].Extra) || !r.IsAbout(subject) || r.IsAbout(strings.Repeat("1", 64)) {
		t.Errorf("record = %+v", r)
	}
	if lines, err := r.OtherStages(b); err != nil || len(lines) > 0 {
		t.Errorf("stages of the same build differ: %v (%v)", lines, err)
	}
	if lines := r.OtherInputs(r); len(lines) > 0 {
		t.Errorf("inputs of the same build differ: %v", lines)
	}
}

func TestDifferencesOfABuildAreNamed(t *testing.T) {
	b := buildOf(t, func(*recipe.Config) {})
	r, err := ReadProvenance(provenanceOf(t, b, "make amd64 1.0\n"))
	if err != nil {
		t.Fatal(err)
	}
	packed := buildOf(t, func(c *recipe.Config) { c.Compression = recipe.CompressionUPX })
	lines, err := r.OtherStages(packed)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`stage "7zip-source" is not in this program`,
		`stage "compress busybox amd64" has other files, inputs, packages, steps here`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q does not say %q", lines, want)
		}
	}
	if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, `stage "busybox amd64"`) }) {
		t.Errorf("%q blames a stage that is the same", lines)
	}
	b.Images = []string{"docker.io/debian:trixie-slim@sha256:" + subject}
	other, err := ReadProvenance(provenanceOf(t, b, "make amd64 1.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"pkg:deb/debian/make@1.0?arch=amd64&distro=trixie was used then, but not here",
		"pkg:deb/debian/make@1.1?arch=amd64&distro=trixie is used here, but was not then",
	}
	if got := r.OtherInputs(other); !slices.Equal(got, want) {
		t.Errorf("inputs = %q; want %q", got, want)
	}
}

// Another version of this program may have written the provenance. A part of it is not enough to build the same
// image.
func TestAnUnknownProvenanceIsRefusedWithTheField(t *testing.T) {
	good := provenanceOf(t, buildOf(t, func(*recipe.Config) {}), "make amd64 1.0\n")
	for name, c := range map[string]struct{ old, new, want string }{
		"an unknown field":      {`"stockRuntime": false`, `"stockRuntime": false, "brotli": true`, `unknown field "brotli": the image was published by another version of this program`},
		"a missing field":       {`"stockRuntime": false,`, ``, "externalParameters.stockRuntime is missing: the image was published by another version"},
		"an unknown value":      {`"compression": "launcher"`, `"compression": "zstd"`, `unknown compression "zstd"`},
		"another type":          {`"revision": 1`, `"revision": "one"`, "revision"},
		"a value read as other": {`"tailscaleVersion": "`, `"tailscaleVersion": "v`, "externalParameters.tailscaleVersion is v"},
		"an unknown applet":     {`"ash",`, `"ash", "nope",`, `unknown applet "nope"`},
		"another build type":    {buildType, "urn:other", `buildType is "urn:other": want "` + buildType + `"`},
		"another predicate":     {PredicateProvenance, "https://slsa.dev/provenance/v2", `predicateType is "https://slsa.dev/provenance/v2"`},
		"unnamed stages":        {`"stages": [`, `"stages": [{}, `, "internalParameters.stages"},
		"extra files":           {`"tag":`, `"extra": ["/hello"], "tag":`, "externalParameters.extra"},
		"another statement":     {`"_type"`, `"_kind"`, "_kind"},
		"not JSON":              {"{", "", "reading the provenance"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(good, c.old, c.new, 1)
			if changed == good {
				t.Fatalf("the provenance does not have %s", c.old)
			}
			if _, err := ReadProvenance(changed); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to say %q", err, c.want)
			}
		})
	}
}
