// Package assembly combines the outputs of the stages: into a checked root filesystem, and that into an image in a
// tarball. The Dagger module and the command both use it, so they produce the same bytes.
package assembly

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dagger/mikrotik-tailscale/recipe"
)

// skeleton writes everything into dir that isn't the output of a stage: directories, texts and links.
func skeleton(dir string, entries []recipe.Entry) error {
	for _, e := range entries {
		path := filepath.Join(dir, filepath.FromSlash(e.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing the root filesystem: %w", err)
		}
		var err error
		switch {
		case e.Stage != nil:
		case e.Link != "":
			err = os.Symlink(e.Link, path)
		case e.Text != "":
			err = os.WriteFile(path, []byte(e.Text), mode(e))
		default:
			err = os.MkdirAll(path, 0o755)
		}
		if err != nil {
			return fmt.Errorf("writing the root filesystem: %w", err)
		}
	}
	return nil
}

// Rootfs writes the whole root filesystem into dir. output returns the path of a stage's output, by the path of its
// entry.
func Rootfs(dir string, entries []recipe.Entry, output func(path string) string) error {
	if err := skeleton(dir, entries); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Stage == nil {
			continue
		}
		if err := copyFile(filepath.Join(dir, filepath.FromSlash(e.Path)), output(e.Path), mode(e)); err != nil {
			return fmt.Errorf("writing the root filesystem: %w", err)
		}
	}
	return nil
}

func mode(e recipe.Entry) os.FileMode {
	if e.Executable {
		return 0o755
	}
	return 0o644
}

func copyFile(to, from string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
