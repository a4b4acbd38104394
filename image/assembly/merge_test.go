package assembly

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(text, "-> "); isLink {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMergePutsExtraFilesOverTheImages(t *testing.T) {
	rootfs := plant(t, map[string]string{"bin/sh": "-> busybox", "bin/busybox": "the shell", "etc/motd": "old"})
	extra := plant(t, map[string]string{"bin/sh": "#!/bin/busybox ash\n", "etc/motd": "new", "etc/more/deep": "there", "bin/link": "-> sh"})
	if err := os.Chmod(filepath.Join(extra, "bin/sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Merge(rootfs, extra); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"bin/sh": "#!/bin/busybox ash\n", "bin/busybox": "the shell", "etc/motd": "new", "etc/more/deep": "there", "bin/link": "#!/bin/busybox ash\n",
	} {
		if got, err := os.ReadFile(filepath.Join(rootfs, name)); err != nil || string(got) != want {
			t.Errorf("%s contains %q (%v); want %q", name, got, err, want)
		}
	}
	if info, err := os.Lstat(filepath.Join(rootfs, "bin/sh")); err != nil || info.Mode() != 0o755 {
		t.Errorf("bin/sh is %v (%v); want an executable file", info.Mode(), err)
	}
}

func TestMergeFollowsALinkToTheDirectory(t *testing.T) {
	rootfs, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(plant(t, map[string]string{"etc/motd": "new"}), link); err != nil {
		t.Fatal(err)
	}
	if err := Merge(rootfs, link); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(rootfs, "etc/motd")); err != nil || string(got) != "new" {
		t.Errorf("the file contains %q (%v)", got, err)
	}
}

func TestMergeRefusesWhatDoesNotFit(t *testing.T) {
	image := map[string]string{"bin/sh": "-> busybox", "bin/busybox": "the shell"}
	pipe := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(pipe, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, extra := range map[string]string{
		"/bin/sh: is a directory there, but a file or link in the image": plant(t, map[string]string{"bin/sh/x": ""}),
		"/bin: is a file or link there, but a directory in the image":    plant(t, map[string]string{"bin": ""}),
		"/pipe: is neither a file nor a directory nor a symbolic link":   pipe,
		"no such file or directory":                                      "/nonexistent",
	} {
		err := Merge(plant(t, image), extra)
		if err == nil || !strings.Contains(err.Error(), "merging the extra directory into the root filesystem: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want %s", err, want)
		}
	}
}
