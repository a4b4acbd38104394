package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// insideMirror tells the test program that it runs where only the mirrors can be reached. Its value is the mirrors'
// directory.
const insideMirror = "MIKROTIK_TAILSCALE_TEST_MIRROR"

// TestBehindAMirror fills mirrors with everything that a build downloads, and then builds in a network in which only
// these mirrors can be reached. A success is recorded for this version of the test program.
func TestBehindAMirror(t *testing.T) {
	testmode.Long(t)
	if directory := os.Getenv(insideMirror); directory != "" {
		buildBehind(t, directory)
		return
	}
	base, err := local.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	directory := base + "-mirror"
	passed := filepath.Join(directory, "passed")
	this := sumOfThisProgram(t)
	if before, err := os.ReadFile(passed); err == nil && string(before) == this {
		t.Log("this test program has passed before")
		return
	}
	testtools.Require(t, local.Tools()...)
	inside := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh",
			os.Args[0], "-test.run=^TestBehindAMirror$", "-test.v", "-test.timeout=1h")
		cmd.Env = append(os.Environ(), insideMirror+"="+directory)
		out, err := cmd.CombinedOutput()
		if err == nil && !strings.Contains(string(out), "built without a network") {
			err = errors.New("nothing was built")
		}
		return string(out), err
	}
	// The mirrors of an earlier run may be sufficient. If not, a build with full network access fills them.
	if _, err := inside(); err != nil {
		buildWith(t, directory, mirrors(t, directory, debianArchive(t)))
		if out, err := inside(); err != nil {
			t.Fatalf("in an isolated network: %v\n%s", err, out)
		}
	}
	if err := os.WriteFile(passed, []byte(this), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sumOfThisProgram(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(read(t, os.Args[0])))
	return hex.EncodeToString(sum[:])
}

func buildBehind(t *testing.T, directory string) {
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) != 1 {
		t.Fatalf("the network is not isolated: %v (%v)", interfaces, err)
	}
	buildWith(t, directory, mirrors(t, directory, ""))
	t.Log("built without a network")
}

// buildWith builds from mirrors alone. The cache contains no downloads.
func buildWith(t *testing.T, directory string, flags []string) {
	t.Helper()
	cache := filepath.Join(directory, "cache")
	if err := local.RemoveAll(filepath.Join(cache, "go-mod")); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"build", "--arch", "armv5", "--output", t.TempDir(), "--cache-dir", cache, "--no-cache", "--compression", "none"}, flags...)
	if _, stderr, code := call(t, args...); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, stderr)
	}
}

// mirrors serves the files in directory, and returns the options with which a build uses them. If debian is the
// address of a Debian archive, missing files are downloaded from there and from Go's own proxy.
func mirrors(t *testing.T, directory, debian string) []string {
	t.Helper()
	goProxy := ""
	if debian != "" {
		goProxy, _, _ = strings.Cut(strings.TrimSpace(tool(t, "go", "env", "GOPROXY")), ",")
	}
	return []string{
		"--debian-mirror", mirror(t, filepath.Join(directory, "debian"), debian),
		"--go-proxy", mirror(t, filepath.Join(directory, "go"), goProxy),
		"--busybox-url", mirror(t, filepath.Join(directory, "debian"), debian) +
			"/pool/main/b/busybox/busybox_" + recipe.BusyboxVersion + ".orig.tar.bz2",
	}
}

// debianArchive returns the Debian archive that this machine uses.
func debianArchive(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(tool(t, "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Origin: Debian")) {
		if address, suite, _ := strings.Cut(strings.TrimSpace(line), " "); !strings.Contains(suite, "-") {
			return strings.TrimSuffix(address, "/")
		}
	}
	t.Fatal("this machine has no Debian archive configured")
	return ""
}

// mirror serves a directory on this machine and returns its address. Missing files are downloaded from upstream, if
// it is set.
func mirror(t *testing.T, directory, upstream string) string {
	t.Helper()
	var lock sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := filepath.Join(directory, filepath.FromSlash(r.URL.Path), "content")
		mine, _ := lock.LoadOrStore(path, new(sync.Mutex))
		mine.(*sync.Mutex).Lock()
		defer mine.(*sync.Mutex).Unlock()
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && upstream != "" {
			if err := bring(r, path, upstream+r.URL.EscapedPath()); err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
		}
		file, err := os.Open(path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer func() { _ = file.Close() }()
		_, _ = io.Copy(w, file)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func bring(r *http.Request, path, url string) error {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
