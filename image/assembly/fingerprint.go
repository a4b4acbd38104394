package assembly

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Fingerprint describes the files and symbolic links below a directory by their paths in the image: "sha256:" with
// the sum of a file, and "link:" with the target of a link. The provenance only has this description of the user's
// own files. Their content is only in the image.
func Fingerprint(directory string) (map[string]string, error) {
	directory, err := filepath.EvalSymlinks(directory)
	if err != nil {
		return nil, fmt.Errorf("reading the extra directory: %w", err)
	}
	all := map[string]string{}
	err = filepath.WalkDir(directory, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		name = "/" + filepath.ToSlash(name)
		switch e.Type() {
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(content)
			all[name] = "sha256:" + hex.EncodeToString(sum[:])
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			all[name] = "link:" + target
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the extra directory: %w", err)
	}
	return all, nil
}
