package testtools

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofrs/flock"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/local"
)

// Program builds a Go program, named as for "go install", and returns its path.
func Program(t testing.TB, module string) string {
	t.Helper()
	testmode.Machine(t)
	name, _, _ := strings.Cut(path.Base(module), "@")
	return CachedProgram(t, module, name, func(directory string) {
		install := QuickGo(t.Context(), "install", module)
		install.Env = append(install.Env, "GOBIN="+directory)
		install.Dir = directory
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", module, err, out)
		}
	})
}

// CachedProgram returns the path of a program in the user's cache, so that all tests build each version only once. If
// the cache doesn't have the version, build writes the program to a directory, under its name.
func CachedProgram(t testing.TB, version, name string, build func(directory string)) string {
	t.Helper()
	cache, err := local.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache+"-tests", strings.ReplaceAll(version, "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(dir + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	program := filepath.Join(dir, name)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	building, err := os.MkdirTemp(dir, "building-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(building) }()
	build(building)
	if err := os.Rename(filepath.Join(building, name), program); err != nil {
		t.Fatal(err)
	}
	return program
}
