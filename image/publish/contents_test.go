package publish

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// The contents listed before a push are the contents of the registry after it.
func TestContentsAreWhatIsPushed(t *testing.T) {
	d := destination(t, quickRegistry(t, nil)+"/x", []string{"stable"}, "", "")
	r := release(t)
	contents, err := ContentsOf(d, r)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := Push(t.Context(), d, r, nil)
	if err != nil || contents.Reference != reference {
		t.Errorf("listed %s, pushed %s (%v)", contents.Reference, reference, err)
	}
	repository, err := name.NewRepository(contents.Repository, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	check := func(digest string, own []string, attached []Part, size int64) {
		t.Helper()
		tags = append(tags, own...)
		for _, tag := range own {
			if found, err := remote.Head(repository.Tag(tag)); err != nil || found.Digest.String() != digest {
				t.Errorf("%s is %v (%v); listed was %s", tag, found, err, digest)
			}
		}
		referrers, err := remote.Referrers(repository.Digest(digest))
		if err != nil {
			t.Fatal(err)
		}
		index, err := referrers.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		var there, listed []string
		for _, m := range index.Manifests {
			there = append(there, m.Digest.String())
		}
		for _, p := range attached {
			listed = append(listed, p.Digest)
			var manifest v1.Manifest
			get(t, repository.Digest(p.Digest), &manifest)
			if manifest.ArtifactType != p.Type || manifest.Layers[0].Size != p.Size {
				t.Errorf("listed %+v; the registry has %+v", p, manifest)
			}
		}
		if slices.Sort(there); len(there) == 0 || !slices.Equal(there, listed) {
			t.Errorf("attached to %s: %v; listed: %v", digest, there, listed)
		}
		if size == 0 {
			return
		}
		var manifest v1.Manifest
		found, err := remote.Head(repository.Digest(digest))
		if err != nil {
			t.Fatal(err)
		}
		get(t, repository.Digest(digest), &manifest)
		if there := found.Size + manifest.Config.Size + manifest.Layers[0].Size; there != size {
			t.Errorf("%s has %d bytes; listed were %d", digest, there, size)
		}
	}
	check(contents.Digest, contents.Tags, contents.Attached, 0)
	for i, image := range contents.Images {
		if target := r.images[i].Target; image.Platform != target.Name || image.ContainerPlatform != target.Platform() || image.Size == 0 {
			t.Errorf("listed %+v for %s", image, target)
		}
		check(image.Digest, image.Tags, image.Attached, image.Size)
	}
	all, err := remote.List(repository)
	if slices.Sort(tags); err != nil || !slices.Equal(all, tags) {
		t.Errorf("the repository has the tags %v (%v); listed: %v", all, err, tags)
	}
	for _, want := range append(tags, contents.Digest, contents.Images[0].Attached[0].Type) {
		if !strings.Contains(contents.Table(), want) {
			t.Errorf("the table lacks %s:\n%s", want, contents.Table())
		}
	}
}
