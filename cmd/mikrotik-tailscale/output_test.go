package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/image/attest"
)

// builtTarballs returns two tarballs in a build's scratch directory, and the files that belong next to them.
func builtTarballs(t *testing.T) ([]result, []attest.File) {
	t.Helper()
	scratch := t.TempDir()
	var built []result
	for _, name := range []string{"a.tar", "b.tar"} {
		path := filepath.Join(scratch, name)
		if err := os.WriteFile(path, []byte("new "+name), 0o644); err != nil {
			t.Fatal(err)
		}
		built = append(built, result{Path: path})
	}
	return built, []attest.File{{Name: "a.symbols", Content: "new symbols"}, {Name: "SHA256SUMS", Content: "new sums"}}
}

func TestTarballsArePlacedTogether(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "new", "dist")
	built, companions := builtTarballs(t)
	if err := (destination{directory: directory}).place(t.Context(), built, companions); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.tar": "new a.tar", "b.tar": "new b.tar", "a.symbols": "new symbols", "SHA256SUMS": "new sums"} {
		if got := read(t, filepath.Join(directory, name)); got != want {
			t.Errorf("%s contains %q; want %q", name, got, want)
		}
	}
	if want := filepath.Join(directory, "b.tar"); built[1].Path != want {
		t.Errorf("path = %s; want %s", built[1].Path, want)
	}
}

// If checksums and tarballs of different builds were mixed, users who check them would reject the tarballs.
func TestABuildThatFailsAtTheEndChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, directory string, cancel func())
		want  error
	}{
		"the checksums can't be written": {func(t *testing.T, directory string, _ func()) {
			if err := os.Mkdir(filepath.Join(directory, "SHA256SUMS"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, nil},
		"interrupted": {func(_ *testing.T, _ string, cancel func()) { cancel() }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			if err := os.WriteFile(filepath.Join(directory, "a.tar"), []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.spoil(t, directory, cancel)
			before := listing(t, directory)
			built, companions := builtTarballs(t)
			err := (destination{directory: directory}).place(ctx, built, companions)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error = %v", err)
			}
			if after := listing(t, directory); !slices.Equal(before, after) {
				t.Errorf("the directory contains %v; before %v", after, before)
			}
			if got := read(t, filepath.Join(directory, "a.tar")); got != "old" {
				t.Errorf("the previous tarball contains %q", got)
			}
		})
	}
}

func TestADirectoryIsRemovedAfterAFailure(t *testing.T) {
	parent := t.TempDir()
	files := []archive.File{{Path: filepath.Join(parent, "new", "dist", "a"), Write: copyOf("/nonexistent")}}
	if _, err := writeAll(t.Context(), filepath.Join(parent, "new", "dist"), files); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
	if left := listing(t, parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func listing(t *testing.T, directory string) []string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
