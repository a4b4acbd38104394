package archive

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWriteFileToFullDisk(t *testing.T) {
	directory := tmpfs(t, 0, "size=64k")
	path := filepath.Join(directory, "image.tar")
	if _, err := WriteFile(t.Context(), path, writeString("it fits")); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(io.Writer) error{
		"the writer reports it": func(w io.Writer) error {
			_, err := w.Write(make([]byte, 1<<20))
			return err
		},
		"the writer drops it": func(w io.Writer) error {
			_, _ = w.Write(make([]byte, 1<<20))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := WriteFile(t.Context(), path, write)
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("the error is %v; want ENOSPC", err)
			}
			wantError(t, err, "writing "+path+": no space left on device")
			if got, err := os.ReadFile(path); err != nil || string(got) != "it fits" {
				t.Errorf("the file contains %q (%v); want the previous content", got, err)
			}
			only(t, path)
		})
	}
}

func TestWriteFileToReadOnlyDirectory(t *testing.T) {
	directory := tmpfs(t, syscall.MS_RDONLY, "")
	_, err := WriteFile(t.Context(), filepath.Join(directory, "image.tar"), writeString("x"))
	if !errors.Is(err, syscall.EROFS) {
		t.Errorf("the error is %v; want EROFS", err)
	}
	wantError(t, err, "creating a file in "+directory+": read-only file system")
}

// tmpfs mounts an empty file system for a test.
func tmpfs(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system for the test needs root")
	}
	directory := t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", flags, options); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(directory, 0); err != nil {
			t.Error(err)
		}
	})
	return directory
}
