package archive

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestLayerRefusesPipes(t *testing.T) {
	root := plant(t, sample...)
	if err := syscall.Mkfifo(filepath.Join(root, "etc/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Layer(root, epoch)
	wantError(t, err, `"etc/pipe": it is a named pipe`)
}

func TestLayerRefusesDevices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a device needs root")
	}
	root := t.TempDir()
	if err := syscall.Mknod(filepath.Join(root, "null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Skipf("a device can't be created here: %v", err)
	}
	_, err := Layer(root, epoch)
	wantError(t, err, `"null": it is a device`)
}

// TestLayerRefusesFilesThatShrink reads a directory with files that are shorter than their reported size.
func TestLayerRefusesFilesThatShrink(t *testing.T) {
	const directory = "/sys/class/net/lo/statistics"
	if info, err := os.Stat(filepath.Join(directory, "collisions")); err != nil || info.Size() == 0 {
		t.Skipf("%s has no such files", directory)
	}
	_, err := Layer(directory, epoch)
	wantError(t, err, `"collisions"`)
	wantError(t, err, "missed writing")
}

func TestLayerRefusesOtherEncodings(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		_, err := Layer(plant(t, node{name: "etc/\xff", mode: 0o644}), epoch)
		wantError(t, err, `"etc/\xff": the name is not UTF-8`)
	})
	t.Run("directory", func(t *testing.T) {
		_, err := Layer(plant(t, node{name: "\xe9t\xe9/file", mode: 0o644}), epoch)
		wantError(t, err, `"\xe9t\xe9": the name is not UTF-8`)
	})
	t.Run("link", func(t *testing.T) {
		_, err := Layer(plant(t, node{name: "link", target: "\xff"}), epoch)
		wantError(t, err, `"link": the link's target "\xff" is not UTF-8`)
	})
}
