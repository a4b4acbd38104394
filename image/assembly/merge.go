package assembly

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Merge copies the files, directories and symbolic links below extra into a root filesystem. A file or link replaces
// an existing one. Extra itself may be a symbolic link to a directory.
func Merge(rootfs, extra string) error {
	extra, err := filepath.EvalSymlinks(extra)
	if err != nil {
		return fmt.Errorf("merging the extra directory into the root filesystem: %w", err)
	}
	err = filepath.WalkDir(extra, func(from string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(extra, from)
		if err != nil {
			return err
		}
		if err := merge(filepath.Join(rootfs, name), from, e.Type()); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("merging the extra directory into the root filesystem: %w", err)
	}
	return nil
}

func merge(to, from string, kind fs.FileMode) error {
	there, err := os.Lstat(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	taken := err == nil
	switch {
	case kind == fs.ModeDir && taken && !there.IsDir():
		return errors.New("is a directory there, but a file or link in the image")
	case kind == fs.ModeDir && taken:
		return nil
	case kind == fs.ModeDir:
		return os.Mkdir(to, 0o755)
	case taken && there.IsDir():
		return errors.New("is a file or link there, but a directory in the image")
	case taken:
		if err := os.Remove(to); err != nil {
			return err
		}
	}
	switch kind {
	case 0:
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		return copyFile(to, from, info.Mode().Perm())
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	return errors.New("is neither a file nor a directory nor a symbolic link")
}
