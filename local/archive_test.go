package local

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// forwarder starts a server in front of Debian's own archive, like a snapshot service.
func forwarder(t *testing.T) *httptest.Server {
	t.Helper()
	target, err := url.Parse(recipe.DebianArchive)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	t.Cleanup(server.Close)
	return server
}

// gone returns the address of a server that has stopped.
func gone(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

func TestTheArchiveIsTheMirrorTheSnapshotOrDebiansOwn(t *testing.T) {
	snapshot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/dists/trixie/InRelease" {
			http.NotFound(w, r)
		}
	}))
	defer snapshot.Close()
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	for name, c := range map[string]struct{ mirror, snapshot, origin, line string }{
		"mirror":         {"http://mirror.example", snapshot.URL, recipe.OriginMirror, "deb [signed-by=" + debianKeys + "] http://mirror.example trixie main\n"},
		"snapshot":       {"", snapshot.URL, recipe.OriginSnapshot, "deb [signed-by=" + debianKeys + " check-valid-until=no] " + snapshot.URL + " trixie main\n"},
		"no service":     {"", gone(t), recipe.OriginArchive, "deb [signed-by=" + debianKeys + "] " + recipe.DebianArchive + " trixie main\n"},
		"other snapshot": {"", empty.URL, recipe.OriginArchive, "deb [signed-by=" + debianKeys + "] " + recipe.DebianArchive + " trixie main\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Builder{Options: Options{Addresses: recipe.Addresses{DebianMirror: c.mirror}}, snapshot: c.snapshot}
			a := d.findArchive()
			if a.origin != c.origin || a.line("trixie") != c.line {
				t.Errorf("archive = %s, %q; want %s, %q", a.origin, a.line("trixie"), c.origin, c.line)
			}
		})
	}
}

// freshRoots opens a builder that has to create its Debian roots, and so asks the archive for them. That takes long, and
// shows what is in the archive today.
func freshRoots(t *testing.T, snapshot string) *Builder {
	t.Helper()
	cache := t.TempDir()
	testmode.Long(t)
	if err := Require(t.Context(), func(s string) bool { t.Log(s); return true }, Tools()...); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	d.snapshot = snapshot
	d.source = sync.OnceValue(d.findArchive)
	return d
}

func TestARootSaysWhereItsPackagesCameFrom(t *testing.T) {
	d := freshRoots(t, forwarder(t).URL)
	path, err := d.Output(t.Context(), recipe.Installed(recipe.Certificates()))
	if err != nil {
		t.Fatal(err)
	}
	origin, packages, _ := strings.Cut(read(t, path), "\n")
	if origin != recipe.OriginSnapshot {
		t.Errorf("the recorded origin is %q", origin)
	}
	// The packages are the same as in the lock file, which is part of the stage's key.
	if want := strings.Join(recipe.Certificates().Packages.Locked, "\n") + "\n"; packages != want {
		t.Errorf("packages:\n%s\nwant:\n%s", packages, want)
	}
	roots, err := filepath.Glob(filepath.Join(d.Cache, "roots", "*"))
	if err != nil || len(roots) != 1 {
		t.Fatalf("roots: %v, %v", roots, err)
	}
	// The sources of musl and 7-Zip come from the same archive.
	if list := read(t, filepath.Join(roots[0], "etc/apt/sources.list")); !strings.Contains(list, d.snapshot) {
		t.Errorf("the root's list of archives is %q", list)
	}
}

func TestOtherVersionsThanTheLocksAreAnError(t *testing.T) {
	d := freshRoots(t, gone(t))
	s := recipe.Certificates()
	s.Packages.Locked = append([]string{"apt " + runtime.GOARCH + " 0.1", "gone all 1.0"}, s.Packages.Locked...)
	var installed string
	for _, line := range s.Packages.Locked[2:] {
		if fields := strings.Fields(line); fields[0] == "apt" {
			installed = fields[2]
		}
	}
	// The lock file's own line for apt follows the wrong one, and would override it.
	s.Packages.Locked = append(s.Packages.Locked, s.Packages.Locked[0])
	_, err := d.Output(t.Context(), s)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"debian tools: packages from Debian's archive, since the snapshot " + recipe.DebianSnapshot + " could not be reached",
		"apt:" + runtime.GOARCH + " has the version " + installed + ", and " + recipe.LockFile + " records 0.1",
		"gone:all is not installed, and " + recipe.LockFile + " records 1.0",
		"go run ./cmd/mikrotik-tailscale lock",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(d.Cache, "roots")); len(left) > 0 {
		t.Errorf("a root with other versions was kept: %v", left)
	}
}

// tar also fails, because it gets no archive, but that isn't the error.
func TestAnArchiveThatCannotBeReachedIsTheError(t *testing.T) {
	d := freshRoots(t, gone(t))
	d.Addresses.DebianMirror = "http://127.0.0.1:1/debian"
	_, err := d.Output(t.Context(), recipe.Certificates())
	if err == nil {
		t.Fatal("no error")
	}
	if text := err.Error(); !strings.HasPrefix(text, "debian tools: making a Debian root with mmdebstrap: ") || !strings.Contains(text, "127.0.0.1:1") {
		t.Errorf("error = %v", err)
	}
}

// The lock file is written without installing anything, and also for other machines.
func TestTheLockMatchesTheArchive(t *testing.T) {
	d := freshRoots(t, gone(t))
	lock, origin, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if origin != recipe.OriginArchive {
		t.Errorf("the lock's origin is %s", origin)
	}
	if want := read(t, filepath.Join("..", recipe.LockFile)); lock != want {
		t.Errorf("the archive has other packages than %s: run go run ./cmd/mikrotik-tailscale lock", recipe.LockFile)
	}
}
