package publish

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/signing"
)

func source(t *testing.T, address, user, password string) Source {
	t.Helper()
	s, err := NewSource(address, user, password, true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAPublishedReleaseIsReadBack(t *testing.T) {
	registry := testregistry.Start(t, user, secret, false)
	want := sign(t, attested(t), newKey(t))
	reference, err := Push(t.Context(), destination(t, registry+"/x", []string{"stable"}, user, secret), want, nil)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{registry + "/x:stable", registry + "/x@sha256:" + digest, reference} {
		got, err := Pull(t.Context(), source(t, address, user, secret), []string{attest.ProvenanceType, signing.BundleType}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != digest || got.Reference != registry+"/x@sha256:"+digest {
			t.Errorf("%s is %s; want the digest %s", address, got.Reference, digest)
		}
		if got, want := textsOf(got.Attached), textsOf(want.attached); !slices.Equal(got, want) {
			t.Errorf("attached is %q; want %q", got, want)
		}
		for i, image := range got.Images {
			digest, err := image.Image.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if wanted, _ := want.images[i].Image.Digest(); digest != wanted || image.Target.Name != want.images[i].Target.Name {
				t.Errorf("image %d is %s for %s; want %s", i, digest, image.Target, wanted)
			}
			// Its SBOM and symbols have other types.
			if len(image.Attached) != 2 || image.Attached[0].Type != signing.BundleType {
				t.Errorf("attached to the image are %v", image.Attached)
			}
		}
	}

	for name, c := range map[string]struct{ address, user, password, want string }{
		"one platform":     {registry + "/x:stable-arm", user, secret, "it is the image of one platform"},
		"no such tag":      {registry + "/x:none", user, secret, "reading " + registry + "/x:none: "},
		"no password":      {registry + "/x:stable", "", "", "the registry requires a user name and a password"},
		"a wrong password": {registry + "/x:stable", user, "wr0ng&word", "the registry refused the user name or password"},
	} {
		if _, err := Pull(t.Context(), source(t, c.address, c.user, c.password), nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v; want it to say %q", name, err, c.want)
		} else if c.password != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("%s: the error has the password: %v", name, err)
		}
	}
}

// textsOf returns the types and texts of attachments, sorted, because a registry lists attachments in any order.
func textsOf(attached []Attachment) []string {
	var all []string
	for _, a := range attached {
		all = append(all, a.Type+" "+a.Text)
	}
	slices.Sort(all)
	return all
}

func TestAnIndexWithAnUnknownPlatformIsRefused(t *testing.T) {
	reference, err := name.ParseReference(quickRegistry(t, nil) + "/x:riscv")
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: empty.Image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "riscv64"}},
	})
	if err := remote.WriteIndex(reference, index); err != nil {
		t.Fatal(err)
	}
	if _, err := Pull(t.Context(), source(t, reference.String(), "", ""), nil, nil); err == nil || !strings.Contains(err.Error(), "the platform linux/riscv64, which this program does not build") {
		t.Errorf("error = %v", err)
	}
}

func TestWrongSourcesAreRefused(t *testing.T) {
	_, err := NewSource("tailscale", user, "", false)
	for _, want := range []string{`malformed address "tailscale": want registry/repository:tag`, `the user "` + user + `" has no password`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want it to say %q", err, want)
		}
	}
}

// rawManifest is a manifest of any content.
type rawManifest []byte

func (m rawManifest) RawManifest() ([]byte, error)        { return m, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func TestUnexpectedAttachmentsAreRefused(t *testing.T) {
	repository, err := name.NewRepository(quickRegistry(t, nil) + "/x")
	if err != nil {
		t.Fatal(err)
	}
	layer := v1.Descriptor{MediaType: types.OCILayer, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}
	large := layer
	large.Size = 1 << 40
	for want, layers := range map[string][]v1.Descriptor{
		"it has 0 layers: want one":                         nil,
		"it has 2 layers: want one":                         {layer, layer},
		"it has 1099511627776 bytes: want at most 67108864": {large},
	} {
		text, err := json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: layer, Layers: layers})
		if err != nil {
			t.Fatal(err)
		}
		reference := repository.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(text)))
		if err := remote.Put(reference, rawManifest(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := read(reference, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want it to say %q", err, want)
		}
	}
}
