package reproduce

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/image/signing/signingtest"
	"dagger/mikrotik-tailscale/platform"
)

// small returns a small image for a platform.
func small(t *testing.T, target platform.Target, files map[string]string, env ...string) publish.Image {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	layer, err := archive.Layer(dir, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	img, err := archive.Image(layer, target, v1.Config{Entrypoint: []string{"/which"}, Env: env}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return publish.Image{Target: target, Image: img}
}

func release(t *testing.T, images ...publish.Image) *publish.Release {
	t.Helper()
	r, err := publish.NewRelease(images, map[string]string{"title": "test"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// published returns a release in the form that Pull returns.
func published(t *testing.T, r *publish.Release, attached ...publish.Attachment) publish.Published {
	t.Helper()
	digest, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return publish.Published{Reference: "registry.example/x@sha256:" + digest, Digest: digest, Images: r.Images(), Attached: attached}
}

func TestTheSameImagesAreReproduced(t *testing.T) {
	amd64, arm64 := platform.All()[0], platform.All()[1]
	files := map[string]string{"which": "one"}
	p := published(t, release(t, small(t, amd64, files), small(t, arm64, files)))
	r, err := Compare(p, release(t, small(t, amd64, files), small(t, arm64, files)))
	if err != nil || !r.Reproduced || len(r.Images) != 2 || r.Index == nil || !r.Index.Same {
		t.Errorf("result = %+v (%v)", r, err)
	}
	if got := r.Table(); strings.Count(got, "same  ") != 3 || !strings.Contains(got, "with the same digests; signatures were not checked.") {
		t.Errorf("table:\n%s", got)
	}
	// A single platform is not enough to compare the index.
	r, err = Compare(p, release(t, small(t, arm64, files)))
	if err != nil || !r.Reproduced || len(r.Images) != 1 || r.Index != nil {
		t.Errorf("result = %+v (%v)", r, err)
	}
	if _, err = Compare(p, release(t, small(t, platform.All()[2], files))); err == nil || !strings.Contains(err.Error(), "the index has no image for") {
		t.Errorf("error = %v", err)
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	target := platform.All()[0]
	p := published(t, release(t, small(t, target, map[string]string{"which": "one", "theirs": "x"}, "A=b")))
	r, err := Compare(p, release(t, small(t, target, map[string]string{"which": "two", "ours": "y"}, "A=c")))
	if err != nil || r.Reproduced || r.Images[0].Same || r.Index.Same {
		t.Fatalf("result = %+v (%v)", r, err)
	}
	got := r.Table()
	for _, want := range []string{
		"DIFFERENT", "  /ours is only rebuilt: 1 bytes", "  /theirs is only published: 1 bytes",
		"  /which is published as 3 bytes, sha256 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
		`  configuration: config.Env is published as ["A=b"], rebuilt as ["A=c"]`,
		"The published image differs from the one built from its provenance",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table does not say %q:\n%s", want, got)
		}
	}
}

// Compressors change with Go releases.
func TestADifferenceOnlyInPackingIsNamed(t *testing.T) {
	target := platform.All()[0]
	again := release(t, small(t, target, map[string]string{"which": "one"}))
	p := published(t, again)
	p.Images = slices.Clone(p.Images)
	p.Images[0].Image = mutate.Annotations(p.Images[0].Image, map[string]string{"packed": "differently"}).(v1.Image)
	r, err := Compare(p, again)
	if err != nil || r.Reproduced || !slices.Equal(r.Images[0].Differences, []string{packing}) {
		t.Errorf("result = %+v (%v)", r, err)
	}
}

func bundle(t *testing.T, k signing.Key, digest, predicate string) publish.Attachment {
	t.Helper()
	statement, err := signing.Statement(digest, predicate, "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.Bundle(statement)
	if err != nil {
		t.Fatal(err)
	}
	return publish.Attachment{Type: signing.BundleType, Text: text}
}

func TestEverythingNeedsASignatureOfTheKey(t *testing.T) {
	mine, public := signingtest.Keys(t)
	other, _ := signingtest.Keys(t)
	index := release(t, small(t, platform.All()[0], map[string]string{"which": "one"}))
	image, err := index.Images()[0].Image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	digest := published(t, index).Digest
	onIndex, onImage := bundle(t, mine, digest, signing.PredicateSignature), bundle(t, mine, image.Hex, signing.PredicateSignature)
	noIndex, noImage := "the index has no signature of this key", "the image for "
	for name, c := range map[string]struct {
		index, image []publish.Attachment
		want         []string
	}{
		"signed":                  {[]publish.Attachment{onIndex}, []publish.Attachment{onImage}, nil},
		"signed by several":       {[]publish.Attachment{bundle(t, other, digest, signing.PredicateSignature), onIndex}, []publish.Attachment{onImage}, nil},
		"not signed":              {nil, nil, []string{noIndex, noImage}},
		"one not signed":          {[]publish.Attachment{onIndex}, nil, []string{noImage}},
		"signed by another":       {[]publish.Attachment{bundle(t, other, digest, signing.PredicateSignature)}, []publish.Attachment{onImage}, []string{noIndex}},
		"another's signature":     {[]publish.Attachment{onImage}, []publish.Attachment{onIndex}, []string{noIndex, noImage}},
		"another kind":            {[]publish.Attachment{bundle(t, mine, digest, signing.PredicateSBOM)}, []publish.Attachment{onImage}, []string{noIndex}},
		"something of other type": {[]publish.Attachment{{Type: attest.ProvenanceType, Text: onIndex.Text}}, []publish.Attachment{onImage}, []string{noIndex}},
	} {
		p := published(t, index, c.index...)
		p.Images = slices.Clone(p.Images)
		p.Images[0].Attached = c.image
		err := CheckSignatures(p, public)
		if (err != nil) != (len(c.want) > 0) {
			t.Errorf("%s: error = %v", name, err)
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error = %v; want it to say %q", name, err, want)
			}
		}
	}
}

func TestAnImageWithoutItsProvenanceIsRefused(t *testing.T) {
	mine, public := signingtest.Keys(t)
	r := release(t, small(t, platform.All()[0], map[string]string{"which": "one"}))
	digest := published(t, r).Digest
	plain := publish.Attachment{Type: attest.ProvenanceType, Text: "{}"}
	for name, c := range map[string]struct {
		key      *signing.PublicKey
		attached []publish.Attachment
		want     string
	}{
		"none":                 {nil, nil, "no provenance is attached to the index: want an image that the publish command of this program has pushed"},
		"only a signed one":    {nil, []publish.Attachment{bundle(t, mine, digest, attest.PredicateProvenance)}, "no provenance is attached"},
		"not signed":           {&public, []publish.Attachment{plain}, "no provenance that is signed with this key"},
		"of another image":     {&public, []publish.Attachment{bundle(t, mine, strings.Repeat("0", 64), attest.PredicateProvenance)}, "no provenance that is signed with this key"},
		"an unknown form":      {nil, []publish.Attachment{plain}, "reading the provenance"},
		"signed, unknown form": {&public, []publish.Attachment{bundle(t, mine, digest, attest.PredicateProvenance)}, "reading the provenance"},
	} {
		if _, err := Origin(published(t, r, c.attached...), c.key); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v; want it to say %q", name, err, c.want)
		}
	}
}
