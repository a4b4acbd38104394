package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

const (
	registryUser   = "robot"
	registrySecret = `s3cret&"word"`
)

// wire records what a registry receives: pushed content, and everything else except for the Authorization header.
type wire struct {
	mu       sync.Mutex
	requests int
	sent     bytes.Buffer
}

// listenIn starts a proxy in front of a registry, and returns its address.
func listenIn(t *testing.T, registry string) (address string, w *wire) {
	t.Helper()
	w = &wire{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: registry})
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.note(r, body)
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), w
}

func (w *wire) note(r *http.Request, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	headers := r.Header.Clone()
	headers.Del("Authorization")
	_, _ = fmt.Fprintf(&w.sent, "%s %s %v\n%s\n", r.Method, r.URL, headers, body)
	if unpacked, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
		_, _ = io.Copy(&w.sent, unpacked)
	}
}

// has reports whether a secret was sent.
func (w *wire) has(secret string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Contains(w.sent.Bytes(), []byte(secret))
}

// spelled returns the forms in which a secret might appear.
func spelled(secret string) []string {
	asJSON, _ := json.Marshal(secret)
	return []string{secret, string(asJSON[1 : len(asJSON)-1]), url.QueryEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + secret))}
}

// dockerLogin writes Docker's configuration after a login, in a directory of its own.
func dockerLogin(t *testing.T, registry, user, password string) {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, registry, auth)
	if registry == "" {
		text = "{}"
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
}

func TestPublishingChecksTheRegistryFirst(t *testing.T) {
	closed := testregistry.Start(t, registryUser, registrySecret, false)
	frozen := testregistry.Start(t, "", "", true)
	reader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer reader.Close()
	const wrong = `wr0ng&"word"`
	t.Setenv("RIGHT", registrySecret)
	t.Setenv("WRONG", wrong)
	login := func(password string) []string {
		return []string{"--username", registryUser, "--password", password}
	}
	for name, c := range map[string]struct {
		args   []string
		docker string
		code   int
		want   string
	}{
		"no address":            {nil, "", exitUsage, "no address: want --address"},
		"malformed address":     {[]string{"--address", "tailscale"}, "", exitUsage, `malformed address "tailscale"`},
		"malformed tag":         {[]string{"--address", closed + "/x", "--tags", "a/b"}, "", exitUsage, `malformed tag "a/b"`},
		"unknown platform":      {[]string{"--address", closed + "/x", "--arch", "mips"}, "", exitUsage, `unknown platform "mips"`},
		"malformed option":      {[]string{"--address", closed + "/x", "--revision", "0"}, "", exitUsage, "revision is 0"},
		"only a user":           {[]string{"--address", closed + "/x", "--username", registryUser}, "", exitUsage, `the user "robot" has no password`},
		"only a password":       {[]string{"--address", closed + "/x", "--password", "env://RIGHT"}, "", exitUsage, "the password has no user name"},
		"the password itself":   {append(login(registrySecret), "--address", closed+"/x"), "", exitUsage, "want env://NAME or file://PATH"},
		"an unset variable":     {append(login("env://UNSET_HERE"), "--address", closed+"/x"), "", exitUsage, "no password in env://UNSET_HERE"},
		"an absent file":        {append(login("file:///absent/password"), "--address", closed+"/x"), "", exitUsage, "/absent/password: no such file"},
		"a wrong password":      {append(login("env://WRONG"), "--address", closed+"/x"), "", exitFailure, "the registry refused the user name or password"},
		"Docker's is wrong":     {[]string{"--address", closed + "/x"}, wrong, exitFailure, "the registry refused the user name or password"},
		"no password anywhere":  {[]string{"--address", closed + "/x"}, "", exitFailure, "the registry requires a user name and a password"},
		"a user who only reads": {append(login("env://RIGHT"), "--address", strings.TrimPrefix(reader.URL, "http://")+"/x"), "", exitFailure, "the registry refused the user name or password"},
		"no pushes":             {[]string{"--address", frozen + "/x"}, "", exitFailure, "405 Method Not Allowed"},
		"unreachable":           {append(login("env://RIGHT"), "--address", "127.0.0.1:1/x"), "", exitFailure, "connection refused"},
		"unknown host":          {append(login("env://RIGHT"), "--address", "registry.invalid/x"), "", exitFailure, "registry.invalid"},
	} {
		for _, form := range [][]string{nil, {"--json"}} {
			t.Run(strings.Join(append([]string{name}, form...), " "), func(t *testing.T) {
				t.Chdir(emptyDir(t))
				dockerLogin(t, "", "", "")
				if c.docker != "" {
					dockerLogin(t, closed, registryUser, c.docker)
				}
				cache := filepath.Join(t.TempDir(), "cache")
				stdout, stderr, code := call(t, slices.Concat([]string{"publish", "--cache-dir", cache}, c.args, form)...)
				if code != c.code {
					t.Errorf("exit code %d; want %d", code, c.code)
				}
				text := stderr
				if form != nil {
					var reported struct{ Error string }
					if err := json.Unmarshal([]byte(stdout), &reported); err != nil {
						t.Errorf("standard output: %v\n%s", err, stdout)
					}
					text = reported.Error
				}
				if !strings.Contains(text, c.want) {
					t.Errorf("error does not say %q:\n%s", c.want, text)
				}
				for _, secret := range slices.Concat(spelled(registrySecret), spelled(wrong)) {
					if strings.Contains(stdout+stderr, secret) {
						t.Errorf("the password is printed as %s:\n%s%s", secret, stdout, stderr)
					}
				}
				if _, err := os.Stat(cache); err == nil {
					t.Error("something was built")
				}
			})
		}
	}
}

// published is the JSON output.
type published struct {
	publish.Contents
	Pushed bool
	Stages []stage
}

func publishJSON(t *testing.T, args ...string) published {
	t.Helper()
	stdout, stderr, code := call(t, append([]string{"publish", "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	var p published
	if err := json.Unmarshal([]byte(stdout), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublishedByTheCommand(t *testing.T) {
	testtools.Require(t, imageTools...)
	b := buildAllPlatforms(t)
	address, wire := listenIn(t, testregistry.Start(t, registryUser, registrySecret, false))
	dockerLogin(t, "", "", "")

	dry := publishJSON(t, "--address", address+"/me/tailscale", "--tags", "stable", "--dry-run")
	if dry.Pushed || wire.requests > 0 {
		t.Errorf("a dry run reports pushed: %v, and the registry got %d requests", dry.Pushed, wire.requests)
	}
	if want := digestOf(t, b.Tarballs); dry.Digest != want || dry.Reference != address+"/me/tailscale:"+recipe.Default().ImageVersion()+"@"+want {
		t.Errorf("reference %s, digest %s; the tarballs' images have %s", dry.Reference, dry.Digest, want)
	}

	// All ways of passing the password have the same result.
	t.Setenv("REGISTRY_TOKEN", registrySecret)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(registrySecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	printed := ""
	for name, login := range map[string][]string{
		"environment": {"--username", registryUser, "--password", "env://REGISTRY_TOKEN"},
		"file":        {"--username", registryUser, "--password", "file://" + file},
		"Docker":      nil,
	} {
		if login == nil {
			dockerLogin(t, address, registryUser, registrySecret)
		}
		stdout, stderr, code := call(t, append([]string{"publish", "--address", address + "/me/tailscale", "--tags", "stable"}, login...)...)
		if code != 0 || stdout != dry.Reference+"\n" {
			t.Errorf("%s: exit code %d, standard output %q; want %s\n%s", name, code, stdout, dry.Reference, stderr)
		}
		for _, want := range []string{"registry: done", "push: done", "Pushed to " + address + "/me/tailscale", attest.ProvenanceType, "stable-armv5"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: standard error does not say %q:\n%s", name, want, stderr)
			}
		}
		printed += stdout + stderr
	}
	for _, secret := range spelled(registrySecret) {
		if wire.has(secret) {
			t.Errorf("the password was pushed as %s", secret)
		}
		if strings.Contains(printed, secret) {
			t.Errorf("the password was printed as %s:\n%s", secret, printed)
		}
	}
	if !wire.has(attest.SBOMType) || !wire.has("usr/local/bin/tailscaled") {
		t.Error("the proxy recorded neither attestations nor layers")
	}
	readBack(t, address+"/me/tailscale", dry)
}

// digestOf returns the digest that package publish computes for the images in tarballs.
func digestOf(t *testing.T, tarballs []result) string {
	t.Helper()
	var images []publish.Image
	for i, target := range platform.All() {
		img, err := tarball.ImageFromPath(tarballs[i].Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, publish.Image{Target: target, Image: img})
	}
	release, err := publish.NewRelease(images, recipe.Annotations(recipe.Default()))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := release.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return "sha256:" + digest
}

// readBack compares the JSON output with what another program finds in the registry.
func readBack(t *testing.T, repository string, reported published) {
	t.Helper()
	inspect := func(reference string, into any) {
		t.Helper()
		out := tool(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "--creds="+registryUser+":"+registrySecret, "docker://"+repository+reference)
		if err := json.Unmarshal([]byte(out), into); err != nil {
			t.Fatal(err)
		}
	}
	type descriptor struct {
		MediaType, ArtifactType, Digest string
		Size                            int64
	}
	for _, tag := range reported.Tags {
		var index struct{ Manifests []descriptor }
		inspect(":"+tag, &index)
		for i, m := range index.Manifests {
			if m.Digest != reported.Images[i].Digest {
				t.Errorf("%s lists %s; reported was %+v", tag, m.Digest, reported.Images[i])
			}
		}
	}
	attached := slices.Clone(reported.Attached)
	for _, image := range reported.Images {
		attached = append(attached, image.Attached...)
		for _, tag := range append(image.Tags, strings.Join([]string{"", image.Digest}, "@")) {
			var manifest struct {
				Config descriptor
				Layers []descriptor
			}
			if !strings.HasPrefix(tag, "@") {
				tag = ":" + tag
			}
			inspect(tag, &manifest)
			if size := manifest.Config.Size + manifest.Layers[0].Size; len(manifest.Layers) != 1 || size >= image.Size || size < image.Size-2000 {
				t.Errorf("%s has %d layers and %d bytes; reported was %+v", tag, len(manifest.Layers), size, image)
			}
		}
	}
	for _, a := range attached {
		var manifest struct {
			ArtifactType string
			Layers       []descriptor
		}
		inspect("@"+a.Digest, &manifest)
		if manifest.ArtifactType != a.Type || manifest.Layers[0].Size != a.Size {
			t.Errorf("reported %+v; the registry has %+v", a, manifest)
		}
	}
	if want := 2 + 2*len(platform.All()); len(attached) != want {
		t.Errorf("%d attachments; want %d", len(attached), want)
	}
}

func TestPublishOnePlatformUnderAnotherTag(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	dry := publishJSON(t, "--address", "registry.example/me/tailscale:edge", "--arch", "arm64", "--dry-run")
	if !slices.Equal(dry.Tags, []string{"edge"}) || len(dry.Images) != 1 || !slices.Equal(dry.Images[0].Tags, []string{"edge-arm64"}) || len(dry.Stages) == 0 {
		t.Errorf("reported: %+v", dry)
	}
}
