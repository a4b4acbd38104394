package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/pem"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// guarded is a mirror that requires a password.
type guarded struct {
	*httptest.Server
	asked atomic.Int64
}

// guard starts a mirror of upstream that requires a password. Without upstream, the mirror is empty.
func guard(t *testing.T, upstream, password string, secure bool) *guarded {
	t.Helper()
	g := &guarded{}
	var proxy http.Handler = http.NotFoundHandler()
	if upstream != "" {
		target, err := url.Parse(upstream)
		if err != nil {
			t.Fatal(err)
		}
		proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Authorization")
		}}
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="mirror"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.asked.Add(1)
		proxy.ServeHTTP(w, r)
	})
	if secure {
		g.Server = httptest.NewTLSServer(handler)
	} else {
		g.Server = httptest.NewServer(handler)
	}
	t.Cleanup(g.Close)
	return g
}

// address returns the mirror's address with a user name and the password.
func (g *guarded) address(password string) string {
	return strings.Replace(g.URL, "://", "://robot:"+password+"@", 1)
}

// The marker is the password in every address. The mirrors require it, so the build has used it. The test then
// searches everything that the build has written and printed.
func TestPasswordsInAddressesAreNotKept(t *testing.T) {
	testmode.Long(t)
	testtools.Require(t, local.Tools()...)
	marker := "m" + strings.ToLower(rand.Text())
	goProxy, _, _ := strings.Cut(strings.TrimSpace(tool(t, "go", "env", "GOPROXY")), ",")
	debian := debianArchive(t)
	mirrors := map[string]*guarded{
		"debian":  guard(t, debian, marker, false),
		"busybox": guard(t, debian, marker, false),
		// The go command only sends passwords over TLS.
		"go":    guard(t, goProxy, marker, true),
		"sumdb": guard(t, goProxy+"/sumdb/sum.golang.org", marker, true),
	}
	trust(t, mirrors["go"].Server)
	addresses := recipe.Addresses{
		BusyboxURL:   mirrors["busybox"].address(marker) + "/pool/main/b/busybox/busybox_" + recipe.BusyboxVersion + ".orig.tar.bz2",
		GoProxy:      mirrors["go"].address(marker),
		GoSumDB:      "sum.golang.org " + mirrors["sumdb"].address(marker),
		DebianMirror: mirrors["debian"].address(marker),
	}
	cache := t.TempDir()
	var printed strings.Builder
	d, err := local.Open(t.Context(), local.Options{Cache: cache, Addresses: addresses, Observe: func(e local.Event) {
		printed.WriteString(e.Title + string(e.State)) // stages run one after another
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := recipe.Default()
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	stages := []recipe.Stage{recipe.BusyboxSource(c), recipe.SevenZipSource(), recipe.ResolveFeatures(c)}
	for _, s := range stages {
		if _, err := d.Output(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for name, m := range mirrors {
		if m.asked.Load() == 0 {
			t.Errorf("the mirror for %s was not used", name)
		}
	}
	arm, err := platform.Parse("arm")
	if err != nil {
		t.Fatal(err)
	}
	provenance, err := attest.Provenance(t.Context(), installedOnly(t, d.Output), attest.Build{
		Builder: attest.BuilderCommand, Products: []assembly.Product{{Plan: recipe.Plan{Target: arm, Config: c}}},
	}, []attest.Subject{{Name: "x", SHA256: strings.Repeat("0", 64)}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(provenance, recipe.BusyboxURLVariable) {
		t.Error("the provenance lacks the stage that downloads busybox")
	}
	lookFor(t, marker, "the progress", printed.String())
	lookFor(t, marker, "the provenance", provenance)
	lookInto(t, marker, cache)
	if err := d.Close(); err != nil {
		t.Error(err)
	}

	// A build with another password uses the same cache.
	other, err := local.Open(t.Context(), local.Options{Cache: cache, Addresses: recipe.Addresses{
		BusyboxURL: "https://robot:other@nowhere.invalid", GoProxy: "https://robot:other@nowhere.invalid",
		GoSumDB: "off", DebianMirror: mirrors["debian"].address("other"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	for _, s := range stages {
		if _, err := other.Output(t.Context(), s); err != nil {
			t.Errorf("with another password: %v", err)
		}
	}
}

// installedOnly returns a runner that only runs the stages that list packages. It makes up the outputs of all others.
func installedOnly(t *testing.T, run assembly.StageRunner) assembly.StageRunner {
	t.Helper()
	made := filepath.Join(t.TempDir(), "made-up")
	if err := os.WriteFile(made, []byte("gcc amd64 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, s recipe.Stage) (string, error) {
		if installed := recipe.Installed(recipe.Certificates()); s.Name == installed.Name && slices.Equal(s.Packages.Names, installed.Packages.Names) {
			return run(ctx, s)
		}
		return made, nil
	}
}

// trust makes the go command accept the certificate of a test server.
func trust(t *testing.T, server *httptest.Server) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
}

func lookFor(t *testing.T, marker, where, text string) {
	t.Helper()
	if i := strings.Index(text, marker); i >= 0 {
		t.Errorf("%s contains the password: %q", where, text[max(0, i-100):min(len(text), i+100)])
	}
}

// lookInto searches the names and contents of all files below a directory.
func lookInto(t *testing.T, marker, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.Contains(e.Name(), marker) {
			t.Errorf("a file's name contains the password: %s", path)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		files++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(marker)) {
			t.Errorf("%s contains the password", path)
		}
		return err
	})
	if err != nil || files < 1000 {
		t.Errorf("%d files were searched: %v", files, err)
	}
}

// The mirrors are empty, or reject the password.
func TestPasswordsInAddressesAreNotInErrors(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	marker := "m" + strings.ToLower(rand.Text())
	for name, password := range map[string]string{"not found": marker, "refused": "another"} {
		plain, secure := guard(t, "", password, false), guard(t, "", password, true)
		trust(t, secure.Server)
		goProxy, _, _ := strings.Cut(strings.TrimSpace(tool(t, "go", "env", "GOPROXY")), ",")
		works := guard(t, goProxy, marker, true)
		certificates := func(recipe.Config) recipe.Stage { return recipe.Certificates() }
		for option, c := range map[string]struct {
			addresses recipe.Addresses
			server    string
			stage     func(recipe.Config) recipe.Stage
		}{
			"busybox-url":   {recipe.Addresses{BusyboxURL: plain.address(marker)}, plain.URL, recipe.BusyboxSource},
			"debian-mirror": {recipe.Addresses{DebianMirror: plain.address(marker)}, plain.URL, certificates},
			"go-proxy":      {recipe.Addresses{GoProxy: secure.address(marker)}, secure.URL, recipe.ResolveFeatures},
			"go-sumdb": {recipe.Addresses{GoProxy: works.address(marker), GoSumDB: "sum.golang.org " + secure.address(marker)},
				secure.URL, recipe.ResolveFeatures},
		} {
			t.Run(option+" "+name, func(t *testing.T) {
				o := newOptions()
				o.config.BusyboxChecksum = strings.Repeat("0", 64) // the Debian archive has no such file either
				if err := o.resolve(); err != nil {
					t.Fatal(err)
				}
				options := local.Options{Cache: t.TempDir(), Addresses: c.addresses}
				if option != "debian-mirror" {
					shareRoots(t, options.Cache)
				}
				d, err := local.Open(t.Context(), options)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = d.Close() }()
				_, err = d.Output(t.Context(), c.stage(o.config))
				if err == nil {
					t.Fatal("no error")
				}
				lookFor(t, marker, "the error", err.Error())
				if server := strings.TrimLeft(c.server, "htps:/"); !strings.Contains(err.Error(), server) {
					t.Errorf("the error does not name the server %s:\n%v", server, err)
				}
			})
		}
	}
}

// shareRoots lets a cache use the Debian roots of the default cache, because building them takes half a minute.
func shareRoots(t *testing.T, cache string) {
	t.Helper()
	base, err := local.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	roots := filepath.Join(base, "roots")
	if err := os.MkdirAll(roots, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(roots, filepath.Join(cache, "roots")); err != nil {
		t.Fatal(err)
	}
}

// Addresses are checked before anything runs.
func TestPasswordsInMalformedAddressesAreNotShown(t *testing.T) {
	const marker = "s3cret"
	for option, given := range map[string]string{
		"--busybox-url":   "ftp://robot:" + marker + "@mirror.example/busybox.tar.bz2",
		"--debian-mirror": "http://robot:" + marker + "/@mirror.example/debian",
		"--go-proxy":      "https://proxy.example,ssh://robot:" + marker + "@proxy.example",
		"--go-sumdb":      "https://robot:" + marker + "@sums.example",
	} {
		for _, form := range [][]string{nil, {"--json"}} {
			stdout, stderr, code := call(t, append([]string{"build", "--arch", "arm", option, given}, form...)...)
			if code != exitUsage || !strings.Contains(stdout+stderr, "example") {
				t.Errorf("%s: exit code %d:\n%s%s", option, code, stdout, stderr)
			}
			lookFor(t, marker, option, stdout+stderr)
		}
	}
	for name, args := range map[string][]string{
		"image":        {"--image", "robot:" + marker + "@registry.example/tailscale:stable"},
		"token":        {"--image", "registry.example/tailscale:stable", "--token-url", "https://robot:" + marker + "@auth.example/"},
		"login server": {"--image", "registry.example/tailscale:stable", "--login-server", "https://robot:" + marker + "@login.example"},
	} {
		stdout, stderr, code := call(t, append([]string{"routeros"}, args...)...)
		if code != exitUsage {
			t.Errorf("%s: exit code %d:\n%s%s", name, code, stdout, stderr)
		}
		lookFor(t, marker, name, stdout+stderr)
	}
}
