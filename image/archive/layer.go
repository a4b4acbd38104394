package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// directoryModes has the directories with other permissions than 0755.
var directoryModes = map[string]int64{
	"root":    0o700,
	"tmp":     0o1777,
	"var/tmp": 0o1777,
}

// Layer packs the tree below rootfs as one image layer, an uncompressed tar archive.
//
// Only names, contents, symbolic links and execute bits count. Everything else depends on the umask and on the file
// systems that the tree was copied through:
//   - Directories get mode 0755, except for /tmp and /var/tmp (1777) and /root (0700). A file gets 0755 if anyone may
//     execute it, otherwise 0644. A symbolic link gets 0777, and its target doesn't change.
//   - Everything belongs to user 0 and group 0 and has the time epoch. The zero time means 1970.
//   - Extended attributes are left out. A file with several hard links is written once for each of its names, because
//     links do not survive every copy of a tree.
//   - A directory comes before its contents, and the entries of a directory are sorted by name. The root directory has
//     no entry. Headers are USTAR, except for names that only PAX can store.
//
// Layer returns an error if the tree is empty or contains devices, sockets, named pipes, names that are not UTF-8, or
// names with the prefix ".wh.", which marks deleted files in a layer.
//
// The layer is kept in memory. Its digest is the digest of the uncompressed archive, so it doesn't depend on the
// compressor of a Go release. Compress the layer before you push it to a registry.
func Layer(rootfs string, epoch time.Time) (v1.Layer, error) {
	var content bytes.Buffer
	if err := pack(&content, rootfs, epoch); err != nil {
		return nil, fmt.Errorf("making a layer of %s: %w", rootfs, err)
	}
	return static.NewLayer(content.Bytes(), types.DockerUncompressedLayer), nil
}

// Check returns the error that Layer would return for a tree, without keeping its content in memory.
func Check(rootfs string) error { return pack(io.Discard, rootfs, time.Time{}) }

func pack(to io.Writer, rootfs string, epoch time.Time) error {
	epoch, err := stamp(epoch)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return err
	}
	defer root.Close()

	w := tar.NewWriter(to)
	empty := true
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		empty = false
		if err := add(w, root, name, d, epoch); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if empty {
		return errors.New("the directory is empty")
	}
	return w.Close()
}

// add writes one entry. The tar package chooses the format: USTAR if the entry fits.
func add(w *tar.Writer, root *os.Root, name string, d fs.DirEntry, epoch time.Time) error {
	if !utf8.ValidString(name) {
		return errors.New("the name is not UTF-8")
	}
	if strings.HasPrefix(path.Base(name), ".wh.") {
		return errors.New(`the prefix ".wh." marks deleted files in a layer`)
	}
	header := &tar.Header{Name: name, ModTime: epoch}
	switch d.Type() {
	case 0:
		return addFile(w, root, header)
	case fs.ModeDir:
		header.Typeflag, header.Name, header.Mode = tar.TypeDir, name+"/", 0o755
		if mode, ok := directoryModes[name]; ok {
			header.Mode = mode
		}
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		if !utf8.ValidString(target) {
			return fmt.Errorf("the link's target %q is not UTF-8", target)
		}
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, target, 0o777
	default:
		return fmt.Errorf("it is %s: an image can only contain files, directories and symbolic links", kind(d.Type()))
	}
	return w.WriteHeader(header)
}

func addFile(w *tar.Writer, root *os.Root, header *tar.Header) error {
	file, err := root.Open(header.Name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header.Typeflag, header.Size, header.Mode = tar.TypeReg, info.Size(), 0o644
	if info.Mode()&0o111 != 0 {
		header.Mode = 0o755
	}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.Copy(w, file); err != nil {
		return err
	}
	// Flush fails if the file has shrunk since its size was read.
	return w.Flush()
}

func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}
