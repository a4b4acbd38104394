package publish

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// images returns one small image for each platform.
func images(t *testing.T) []Image {
	t.Helper()
	var all []Image
	for _, target := range platform.All() {
		dir := t.TempDir()
		write(t, dir+"/which", target.Name)
		layer, err := archive.Layer(dir, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		img, err := archive.Image(layer, target, v1.Config{Entrypoint: []string{"/which"}}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Image{Target: target, Image: img})
	}
	return all
}

// release returns a release of these images, with an attachment on each image and on the index.
func release(t *testing.T) *Release {
	t.Helper()
	all := images(t)
	for i := range all {
		all[i].Attached = []Attachment{{Type: "application/vnd.test.parts+json", Text: `{"platform":"` + all[i].Target.Name + `"}`}}
	}
	r, err := NewRelease(all, annotations)
	if err != nil {
		t.Fatal(err)
	}
	r.Attach(Attachment{Type: "application/vnd.test.origin+json", Text: `{"origin":"here"}`})
	return r
}

func destination(t *testing.T, address string, tags []string, user, password string) Destination {
	t.Helper()
	d, err := NewDestination(address, "1.0.0-mt.1", tags, user, password, true)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var annotations = map[string]string{"org.opencontainers.image.title": "test"}

func TestPublishedImagesAreReadBackByAnotherClient(t *testing.T) {
	testtools.Require(t, local.Tool{Command: "skopeo", Package: "skopeo"})
	registry := testregistry.Start(t, user, secret, false)
	d := destination(t, registry+"/routers/tailscale", []string{"stable"}, user, secret)
	reference, err := Push(t.Context(), d, release(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Push(t.Context(), d, release(t), nil)
	if err != nil || again != reference {
		t.Errorf("pushed again, the reference is %s (%v); it was %s", again, err, reference)
	}
	if !strings.HasPrefix(reference, registry+"/routers/tailscale:1.0.0-mt.1@sha256:") {
		t.Errorf("reference = %s", reference)
	}
	auth := remote.WithAuth(&authn.Basic{Username: user, Password: secret})
	digest, err := name.NewDigest(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if index, err := remote.Index(digest, auth); err != nil {
		t.Error(err)
	} else if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	skopeo := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "skopeo", append([]string{args[0], "--tls-verify=false", "--creds=" + user + ":" + secret}, args[1:]...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	repository := "docker://" + registry + "/routers/tailscale"
	for _, tag := range []string{"1.0.0-mt.1", "stable"} {
		var index struct {
			MediaType   string
			Annotations map[string]string
			Manifests   []struct {
				MediaType string
				Platform  struct{ OS, Architecture, Variant string }
			}
		}
		if err := json.Unmarshal([]byte(skopeo("inspect", "--raw", repository+":"+tag)), &index); err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, m := range index.Manifests {
			got = append(got, strings.TrimSuffix(m.Platform.OS+"/"+m.Platform.Architecture+"/"+m.Platform.Variant, "/"))
			if m.MediaType != "application/vnd.oci.image.manifest.v1+json" {
				t.Errorf("%s: media type %s", tag, m.MediaType)
			}
		}
		for _, target := range platform.All() {
			want = append(want, target.Platform())
		}
		if !slices.Equal(got, want) || index.Annotations["org.opencontainers.image.title"] != "test" {
			t.Errorf("%s: platforms %v, annotations %v; want %v", tag, got, index.Annotations, want)
		}
		for _, target := range platform.All() {
			var manifest struct {
				Layers []struct{ MediaType string }
			}
			if err := json.Unmarshal([]byte(skopeo("inspect", "--raw", repository+":"+tag+"-"+target.Name)), &manifest); err != nil {
				t.Fatal(err)
			}
			if len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != "application/vnd.oci.image.layer.v1.tar+gzip" {
				t.Errorf("%s-%s: layers %v", tag, target, manifest.Layers)
			}
		}
	}
	if got := skopeo("inspect", "--config", "--override-arch=arm", "--override-variant=v5", repository+":stable"); !strings.Contains(got, `"variant": "v5"`) {
		t.Errorf("for ARMv5, the registry returns %s", got)
	}
}

func TestFailuresNeverPrintThePassword(t *testing.T) {
	closed := testregistry.Start(t, user, "another", false)
	frozen := testregistry.Start(t, "", "", true)
	for name, c := range map[string]struct{ address, want string }{
		"wrong password": {closed, "refused the user name or password"},
		"refused push":   {frozen, "405 Method Not Allowed"},
		"unreachable":    {"127.0.0.1:1", "connection refused"},
		"unknown host":   {"registry.invalid", "registry.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Push(t.Context(), destination(t, c.address+"/x", nil, user, secret), release(t), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "pushing "+c.address+"/x:1.0.0-mt.1") {
				t.Errorf("error = %v; want it to say %q", err, c.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

func TestDestinationsAreCheckedFirst(t *testing.T) {
	for name, c := range map[string]struct {
		address  string
		tags     []string
		user     string
		password string
		want     string
	}{
		"no registry":   {"tailscale", nil, "", "", `malformed address "tailscale"`},
		"upper case":    {"registry.example/Tailscale", nil, "", "", `malformed address "registry.example/Tailscale"`},
		"with a tag":    {"tailscale", []string{"stable", "edge"}, "", "", `malformed address "tailscale"`},
		"bad tag":       {"registry.example/x", []string{"a b"}, "", "", `malformed tag "a b"`},
		"no password":   {"registry.example/x", nil, "robot", "", `the user "robot" has no password`},
		"only password": {"registry.example/x", nil, "", "hush", `the password has no user name`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewDestination(c.address, "1.0.0-mt.1", c.tags, c.user, c.password, false)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Fatalf("error = %v; want it to say %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("one mistake results in several errors: %v", err)
			}
		})
	}
}

func TestADestinationsErrorListsEveryMistake(t *testing.T) {
	_, err := NewDestination("tailscale", "1.0.0-mt.1", []string{"stable", "a b"}, "robot", "", false)
	if err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), `malformed tag "a b"`) {
		t.Errorf("error = %v; want three lines, one of them about the tag", err)
	}
}

func TestAnIndexIsReproducible(t *testing.T) {
	a, errA := release(t).Digest()
	b, errB := release(t).Digest()
	if a != b || errA != nil || errB != nil {
		t.Errorf("digests %s, %s (%v, %v)", a, b, errA, errB)
	}
}

func TestAnAddressWithATagKeepsIt(t *testing.T) {
	for address, want := range map[string]string{
		"registry.example:5000/x":   "registry.example:5000/x:1.0.0-mt.1",
		"registry.example/x:edge":   "registry.example/x:edge",
		"registry.example/a/b/c":    "registry.example/a/b/c:1.0.0-mt.1",
		"registry.example:5000/x:y": "registry.example:5000/x:y",
	} {
		if got := destination(t, address, nil, "", "").reference; got.Name() != want {
			t.Errorf("%s means %s; want %s", address, got, want)
		}
		if _, err := name.NewTag(want); err != nil {
			t.Error(err)
		}
	}
}
