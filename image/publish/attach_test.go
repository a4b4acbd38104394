package publish

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/endtoend/testtools"
)

// attachedTo reads what is attached to a published manifest, by media type.
func attachedTo(t *testing.T, subject name.Digest) map[string]string {
	t.Helper()
	index, err := remote.Referrers(subject)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range listed.Manifests {
		img, err := remote.Image(subject.Context().Digest(d.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if manifest.ArtifactType != string(manifest.Layers[0].MediaType) || manifest.Subject == nil || manifest.Subject.Digest.String() != subject.DigestStr() || len(manifest.Layers) != 1 {
			t.Errorf("%s has the type %q, the subject %v and %d layers", d.Digest, manifest.ArtifactType, manifest.Subject, len(manifest.Layers))
		}
		blob, err := remote.Layer(subject.Context().Digest(manifest.Layers[0].Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		r, err := blob.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		found[string(manifest.Layers[0].MediaType)] = string(text)
	}
	return found
}

// Newer registries have an API for referrers. Older ones keep them in a tag.
func TestAttachmentsAreFoundFromTheirSubject(t *testing.T) {
	oras := testtools.Program(t, "oras.land/oras/cmd/oras@v1.3.6")
	modern := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	defer modern.Close()
	for kind, address := range map[string]string{
		"with the API":    strings.TrimPrefix(modern.URL, "http://"),
		"without the API": testregistry.Start(t, "", "", false),
	} {
		t.Run(kind, func(t *testing.T) {
			r := release(t)
			reference, err := Push(t.Context(), destination(t, address+"/x", nil, "", ""), r, nil)
			if err != nil {
				t.Fatal(err)
			}
			digest, err := name.NewDigest(reference)
			if err != nil {
				t.Fatal(err)
			}
			found := attachedTo(t, digest)
			if len(found) != 1 || found["application/vnd.test.origin+json"] != `{"origin":"here"}` {
				t.Errorf("attached to the index: %v", found)
			}
			discover := exec.CommandContext(t.Context(), oras, "discover", "--plain-http", "--format", "json", reference)
			out, err := discover.CombinedOutput()
			var seen struct{ Referrers []struct{ Digest string } }
			if err != nil || json.Unmarshal(out, &seen) != nil || len(seen.Referrers) != 1 {
				t.Errorf("another client finds (%v):\n%s", err, out)
			}
			index, err := remote.Index(digest)
			if err != nil {
				t.Fatal(err)
			}
			listed, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			if len(listed.Manifests) != len(r.images) {
				t.Errorf("the index lists %d images; want %d and no attachment among them", len(listed.Manifests), len(r.images))
			}
			for i, d := range listed.Manifests {
				var parts struct{ Platform string }
				text := attachedTo(t, digest.Context().Digest(d.Digest.String()))["application/vnd.test.parts+json"]
				if err := json.Unmarshal([]byte(text), &parts); err != nil || parts.Platform != r.images[i].Target.Name {
					t.Errorf("attached to the image for %s: %q (%v)", r.images[i].Target, text, err)
				}
			}
		})
	}
}

// counting records uploads.
type counting struct {
	mu      sync.Mutex
	uploads []string
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		c.mu.Lock()
		c.uploads = append(c.uploads, r.Method+" "+r.URL.Path)
		c.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestPublishingAgainPushesNothing(t *testing.T) {
	d := destination(t, testregistry.Start(t, "", "", false)+"/x", []string{"stable"}, "", "")
	var first, second counting
	if _, err := Push(t.Context(), d, release(t), &first); err != nil {
		t.Fatal(err)
	}
	if _, err := Push(t.Context(), d, release(t), &second); err != nil {
		t.Fatal(err)
	}
	if len(first.uploads) == 0 || len(second.uploads) > 0 {
		t.Errorf("the first push uploaded %d times, the second one %v", len(first.uploads), second.uploads)
	}
}
