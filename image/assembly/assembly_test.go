package assembly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// program compiles the smallest Go program for a target.
func program(t *testing.T, target platform.Target) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "program")
	testtools.BuildFor(t, target, out, source)
	return out
}

func target(t *testing.T, name string) platform.Target {
	t.Helper()
	target, err := platform.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// entries is a root filesystem with one of each kind of entry.
var entries = []recipe.Entry{
	{Path: "bin/program", Stage: &recipe.Stage{Name: "program"}, Executable: true},
	{Path: "bin/link", Link: "program"},
	{Path: "etc/text", Text: "text\n"},
	{Path: "var/empty"},
}

func rootfs(t *testing.T, program string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "rootfs")
	if err := Rootfs(dir, entries, func(string) string { return program }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// product is an image that starts its one program.
func product(t platform.Target, rootfs string) Product {
	c := recipe.Config{Entrypoint: []string{"/bin/program"}, Tag: "router:1", Epoch: time.Unix(0, 0)}
	return Product{Plan: recipe.Plan{Target: t, Config: c}, Rootfs: rootfs}
}

func TestATarballIsMadeOfARootfs(t *testing.T) {
	arm := target(t, "arm")
	dir := rootfs(t, program(t, arm))
	p := product(arm, dir)
	var sums []string
	for range 2 {
		path, tarball, err := p.Write(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() != tarball.Size {
			t.Errorf("the file has %v; Write returned %d bytes (%v)", info.Size(), tarball.Size, err)
		}
		program, err := os.Stat(filepath.Join(dir, "bin/program"))
		if err != nil || tarball.RootfsSize != program.Size()+int64(len("text\n")) {
			t.Errorf("RootfsSize = %d (%v)", tarball.RootfsSize, err)
		}
		sums = append(sums, tarball.SHA256)
	}
	if sums[0] != sums[1] {
		t.Errorf("two tarballs of one root filesystem: %v", sums)
	}
}

func TestAWrongProgramNeverGetsIntoAnImage(t *testing.T) {
	dir := rootfs(t, program(t, target(t, "arm64")))
	directory := t.TempDir()
	_, _, err := product(target(t, "arm"), dir).Write(t.Context(), directory)
	if err == nil || !strings.Contains(err.Error(), "checking the root filesystem for arm: ") || !strings.Contains(err.Error(), "bin/program") {
		t.Errorf("error = %v", err)
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestAMissingOutputIsAnError(t *testing.T) {
	err := Rootfs(t.TempDir(), entries, func(string) string { return "/nonexistent" })
	if err == nil || !strings.Contains(err.Error(), "writing the root filesystem: ") {
		t.Errorf("error = %v", err)
	}
}
