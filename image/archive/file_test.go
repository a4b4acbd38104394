package archive

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeString(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	for _, content := range []string{"first", "the second replaces it", ""} {
		got, err := WriteFile(t.Context(), path, writeString(content))
		if err != nil {
			t.Fatal(err)
		}
		read, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(read) != content || got.Size != int64(len(content)) {
			t.Errorf("%d bytes written, %q read; want %q", got.Size, read, content)
		}
		only(t, path)
	}
	got, err := WriteFile(t.Context(), path, func(w io.Writer) error {
		return errors.Join(writeString("a")(w), writeString("bc")(w))
	})
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if err != nil || got != (FileInfo{Size: 3, SHA256: abc}) {
		t.Errorf("WriteFile = %+v, %v; want 3 bytes with the checksum %s", got, err, abc)
	}
}

func TestWriteFilePermissions(t *testing.T) {
	directory := t.TempDir()
	plain, err := os.Create(filepath.Join(directory, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	want, err := plain.Stat()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "image.tar")
	if _, err := WriteFile(t.Context(), path, writeString("x")); err != nil {
		t.Fatal(err)
	}
	got, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Mode() != want.Mode() {
		t.Errorf("the mode is %s; want %s, according to the umask", got.Mode(), want.Mode())
	}
}

// TestWriteFileKeepsTheOldFile checks every way to fail after the first byte.
func TestWriteFileKeepsTheOldFile(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		write func(cancel func()) func(io.Writer) error
		want  error
	}{
		"the writer fails": {func(func()) func(io.Writer) error {
			return func(w io.Writer) error { return errors.Join(writeString("new")(w), broken) }
		}, broken},
		"cancelled between two writes": {func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error {
				err := writeString("new")(w)
				cancel()
				return errors.Join(err, writeString("er")(w))
			}
		}, context.Canceled},
		"cancelled between two writes, and the writer drops the error": {func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error {
				cancel()
				_ = writeString("new")(w)
				return nil
			}
		}, context.Canceled},
		"cancelled after the last write": {func(cancel func()) func(io.Writer) error {
			return func(w io.Writer) error {
				defer cancel()
				return writeString("new")(w)
			}
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image.tar")
			if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := WriteFile(ctx, path, c.write(cancel))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %v; want %v and the path in it", err, c.want)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
				t.Errorf("the file contains %q (%v); want the previous content", got, err)
			}
			only(t, path)
		})
	}
}

// Several files are the result of one build, so they must never come from two builds.
func TestWriteFilesWritesAllOrNone(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		last func(directory string, cancel func()) File
		want string
	}{
		"the last can't be written": {func(directory string, _ func()) File {
			return File{filepath.Join(directory, "c"), func(io.Writer) error { return broken }}
		}, "broken"},
		"the last is a directory": {func(directory string, _ func()) File {
			return File{directory, writeString("new")}
		}, "it is a directory"},
		"the last becomes a directory": {func(directory string, _ func()) File {
			path := filepath.Join(directory, "c")
			return File{path, func(io.Writer) error { return os.Mkdir(path, 0o755) }}
		}, "it is a directory"},
		"its directory is missing": {func(directory string, _ func()) File {
			return File{filepath.Join(directory, "missing", "c"), writeString("new")}
		}, "creating a file in"},
		"cancelled at the end": {func(directory string, cancel func()) File {
			return File{filepath.Join(directory, "c"), func(w io.Writer) error { defer cancel(); return writeString("new")(w) }}
		}, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			old := filepath.Join(directory, "a")
			if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			last := c.last(directory, cancel)
			all, err := WriteFiles(ctx, []File{{old, writeString("new")}, {filepath.Join(directory, "b"), writeString("new")}, last})
			wantError(t, err, c.want)
			if all != nil {
				t.Errorf("WriteFiles = %v; want nothing", all)
			}
			if got, err := os.ReadFile(old); err != nil || string(got) != "old" {
				t.Errorf("the first file contains %q (%v); want the previous content", got, err)
			}
			only(t, old)
		})
	}
}

func TestWriteFilesReturnsSizeAndChecksumOfEach(t *testing.T) {
	directory := t.TempDir()
	one, two := filepath.Join(directory, "one"), filepath.Join(directory, "two")
	all, err := WriteFiles(t.Context(), []File{{one, writeString("1")}, {two, writeString("22")}})
	if err != nil || len(all) != 2 || all[0].Size != 1 || all[1].Size != 2 || all[0].SHA256 == all[1].SHA256 {
		t.Errorf("WriteFiles = %+v, %v", all, err)
	}
	for path, want := range map[string]string{one: "1", two: "22"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s contains %q (%v); want %q", path, got, err, want)
		}
	}
}

func TestWriteFileCleansUpAfterPanic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	func() {
		defer func() { _ = recover() }()
		_, _ = WriteFile(t.Context(), path, func(io.Writer) error { panic("a bug") })
	}()
	only(t, path)
}

func TestWriteFileRefuses(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// The link protects the machine's own /dev/null from a version that would replace it.
	device := filepath.Join(t.TempDir(), "null")
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"a directory":         {directory, "it is a directory"},
		"a device":            {device, "it is not a regular file"},
		"a path below a file": {filepath.Join(file, "image.tar"), "not a directory"},
		"a missing directory": {filepath.Join(directory, "missing", "image.tar"), "creating a file in " + filepath.Join(directory, "missing")},
		"an empty name":       {"", "no such file"},
		"a name ending in /":  {filepath.Join(directory, "missing") + "/", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := WriteFile(t.Context(), c.path, writeString("new"))
			wantError(t, err, "writing "+c.path)
			wantError(t, err, c.want)
			if strings.Contains(err.Error(), "partial") {
				t.Errorf("the error names the temporary file: %v", err)
			}
			if got != (FileInfo{}) {
				t.Errorf("WriteFile = %+v; want nothing", got)
			}
		})
	}
	only(t, file)
}

// only fails if the directory of path contains anything else.
func only(t *testing.T, path string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(path), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && p != path {
			t.Errorf("%s is left behind", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
