package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dagger/mikrotik-tailscale/platform"
)

const (
	user   = "robot"
	secret = "s3cret&word"
)

// quickRegistry starts a registry in this process. If answer is set, the registry asks for a user name and a
// password, and then passes each request to answer.
func quickRegistry(t *testing.T, answer http.HandlerFunc) (address string) {
	t.Helper()
	handler := registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	if answer != nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, _, given := r.BasicAuth(); !given {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			answer(w, r)
		})
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// refuse returns a handler that has no content, and answers each upload with a status and the password from the
// request.
func refuse(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		message := fmt.Sprintf("the password %s is not good for this, really: %s", password, password)
		text, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": "DENIED", "message": message}}})
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			panic(err)
		}
	}
}

func TestErrorsExplainARefusalAndHideThePassword(t *testing.T) {
	const blamed = "refused the user name or password"
	for status, blame := range map[int]bool{
		http.StatusUnauthorized: true, http.StatusForbidden: true,
		http.StatusBadRequest: false, http.StatusNotFound: false, http.StatusMethodNotAllowed: false, http.StatusInsufficientStorage: false,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			address := quickRegistry(t, refuse(status))
			reference, err := Push(t.Context(), destination(t, address+"/x", nil, user, secret), release(t), nil)
			if err == nil || reference != "" {
				t.Fatalf("Push = %q and no error", reference)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error contains the password: %v", err)
			}
			if !strings.Contains(err.Error(), "is not good for this, really") {
				t.Errorf("error = %v; want the registry's own words in it", err)
			}
			if strings.Contains(err.Error(), blamed) != blame {
				t.Errorf("error = %v; contains %q: want %v", err, blamed, blame)
			}
		})
	}
}

// Without a password there is nothing to hide, so the error is the registry's.
func TestAnErrorWithoutAPasswordStaysWhole(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Push(ctx, destination(t, quickRegistry(t, nil)+"/x", nil, "", ""), release(t), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v; want it to be the cancellation", err)
	}
}

// The user name and the password reach this registry, and no other server.
func TestTheRegistryGetsTheCredentials(t *testing.T) {
	var mu sync.Mutex // requests are served at the same time
	seen := map[string]bool{}
	real := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, given := r.BasicAuth()
		if !given {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mu.Lock()
		seen[name+":"+password] = true
		mu.Unlock()
		real.ServeHTTP(w, r)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	if _, err := Push(t.Context(), destination(t, address+"/x", nil, user, secret), release(t), nil); err != nil {
		t.Fatal(err)
	}
	if want := map[string]bool{user + ":" + secret: true}; !maps.Equal(seen, want) {
		t.Errorf("the registry got %v; want %v", seen, want)
	}
}

// get reads a manifest from the registry.
func get(t *testing.T, reference name.Reference, into any) v1.Hash {
	t.Helper()
	found, err := remote.Get(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(found.Manifest, into); err != nil {
		t.Fatal(err)
	}
	return found.Digest
}

func TestEachTagHasTheWholeRelease(t *testing.T) {
	address := quickRegistry(t, nil)
	r := release(t)
	d := destination(t, address+"/x", []string{"stable", "edge"}, "", "")
	reference, err := Push(t.Context(), d, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := r.Digest()
	if err != nil || reference != address+"/x:1.0.0-mt.1@sha256:"+digest {
		t.Errorf("reference = %s, digest = %s (%v)", reference, digest, err)
	}
	repository := d.reference.Context()
	for _, tag := range []string{"1.0.0-mt.1", "stable", "edge"} {
		var index v1.IndexManifest
		if got := get(t, repository.Tag(tag), &index); got.Hex != digest {
			t.Errorf("%s is the index %s; want %s", tag, got.Hex, digest)
		}
		if !maps.Equal(index.Annotations, annotations) {
			t.Errorf("%s: the index has the annotations %v; want %v", tag, index.Annotations, annotations)
		}
		for i, target := range platform.All() {
			var manifest v1.Manifest
			own := get(t, repository.Tag(tag+"-"+target.Name), &manifest)
			if listed := index.Manifests[i]; listed.Digest != own || listed.Platform.OS != target.OS || listed.Platform.Architecture != target.Architecture || listed.Platform.Variant != target.Variant {
				t.Errorf("%s lists %s for %v; want %s for %s", tag, listed.Digest, listed.Platform, own, target.Platform())
			}
			if !maps.Equal(manifest.Annotations, annotations) {
				t.Errorf("%s-%s has the annotations %v; want %v", tag, target, manifest.Annotations, annotations)
			}
			if got, want := string(manifest.Config.MediaType), "application/vnd.oci.image.config.v1+json"; got != want {
				t.Errorf("%s-%s: the configuration has the type %s; want %s", tag, target, got, want)
			}
			if got, want := string(manifest.Layers[0].MediaType), "application/vnd.oci.image.layer.v1.tar+gzip"; got != want {
				t.Errorf("%s-%s: the layer has the type %s; want %s", tag, target, got, want)
			}
			packedAsSmallAsPossible(t, r.images[i].Image)
		}
	}
	all, err := remote.List(repository)
	if err != nil || len(all) != 3*(1+len(platform.All())) {
		t.Errorf("the repository has the tags %v (%v)", all, err)
	}
}

// Pulling a tag returns either the new image with its SBOM and provenance, or the previous image.
func TestNothingIsTaggedBeforeEverythingIsAttached(t *testing.T) {
	const refusedType = "application/vnd.test.origin+json"
	real := registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") && strings.Contains(string(body), refusedType) {
			w.WriteHeader(http.StatusInsufficientStorage)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		real.ServeHTTP(w, r)
	}))
	defer server.Close()
	d := destination(t, strings.TrimPrefix(server.URL, "http://")+"/x", []string{"stable"}, "", "")
	_, err := Push(t.Context(), d, release(t), nil)
	if err == nil || !strings.Contains(err.Error(), "attaching "+refusedType) {
		t.Fatalf("error = %v; want that the registry refused an attachment", err)
	}
	if tags, err := remote.List(d.reference.Context()); err != nil || len(tags) > 0 {
		t.Errorf("the repository has the tags %v (%v); want none", tags, err)
	}
}

// The gzip header records the best compression level.
func packedAsSmallAsPossible(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		header := make([]byte, 10)
		if _, err := io.ReadFull(r, header); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(header[:3], []byte{0x1f, 0x8b, 8}) || header[8] != 2 {
			t.Errorf("the layer begins with % x; want gzip at its best", header)
		}
	}
}

// An image keeps its configuration, and so its ID, however its layers are compressed.
func TestPublishingKeepsTheConfiguration(t *testing.T) {
	given := images(t)
	r, err := NewRelease(given, annotations)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range given {
		before, errB := g.Image.ConfigName()
		after, errA := r.images[i].Image.ConfigName()
		if before != after || errA != nil || errB != nil {
			t.Errorf("%s: the configuration is %s now; it was %s (%v, %v)", g.Target, after, before, errA, errB)
		}
	}
}

// Plain HTTP is only used for a registry on this machine, or if asked for.
func TestPlainHTTPIsOnlyUsedIfAskedFor(t *testing.T) {
	for address, schemes := range map[string][2]string{
		"registry.example/x": {"https", "http"},
		"localhost:5000/x":   {"http", "http"},
		"127.0.0.1:5000/x":   {"http", "http"},
	} {
		for i, insecure := range []bool{false, true} {
			d, err := NewDestination(address, "1", []string{"stable"}, "", "", insecure)
			if err != nil {
				t.Fatal(err)
			}
			for _, tag := range append(d.tags, d.reference) {
				if got := tag.Context().Scheme(); got != schemes[i] {
					t.Errorf("%s, insecure %v: %s; want %s", tag, insecure, got, schemes[i])
				}
			}
		}
	}
}
