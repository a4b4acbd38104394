package ci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gofrs/flock"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// root is the top directory of the repository.
const root = "../.."

// run returns the output of a command on stdout and stderr.
func run(t *testing.T, dir string, env []string, argv ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// modules returns the directory with the packages of testdata/package.json. It is kept in the user's cache directory,
// because installing takes half a minute and 500 MB. It includes its own Node.js, because Debian's is too old for
// these programs.
func modules(t *testing.T) string {
	t.Helper()
	testmode.Long(t)
	testtools.Require(t, local.Tool{Command: "node", Package: "nodejs"}, local.Tool{Command: "npm", Package: "npm"},
		local.Tool{Command: "git", Package: "git"}) // Renovate needs it to start
	manifest := read(t, "testdata/package.json")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(manifest)
	dir := filepath.Join(cache, recipe.Title+"-npm", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(dir + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	if _, err := os.Stat(dir); err == nil {
		return filepath.Join(dir, "node_modules")
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	making := dir + ".new"
	if err := os.RemoveAll(making); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(making, "package.json"), manifest)
	if out, err := run(t, making, nil, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	if err := os.Rename(making, dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "node_modules")
}

// node returns the command line that runs a program of modules.
func node(t *testing.T, program string) []string {
	t.Helper()
	dir := modules(t)
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return []string{filepath.Join(dir, "node-linux-"+arch, "bin", "node"), filepath.Join(dir, ".bin", program)}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// changed returns a text after one replacement, and fails the test if there is nothing to replace.
func changed(t *testing.T, text []byte, from, to string) []byte {
	t.Helper()
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("there is no %q to replace", from)
	}
	return bytes.Replace(text, []byte(from), []byte(to), 1)
}
