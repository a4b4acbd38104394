package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// lookup returns the output of a stage in the cache, with its notes. A blob with a wrong checksum, for example after a full
// disk or a crash, counts as missing.
func (d *Builder) lookup(key string) (path, notes string, found bool) {
	record := filepath.Join(d.Cache, "stages", key)
	text, err := os.ReadFile(record)
	if err != nil {
		return "", "", false
	}
	kept, notes, _ := strings.Cut(string(text), "\n")
	path = filepath.Join(d.Cache, "blobs", kept)
	sum, err := sumFile(path)
	if err != nil || sum != kept {
		return "", "", false
	}
	used(record, path)
	return path, notes, true
}

// keep moves a stage's output into the cache. Its record is the output's checksum, followed by the stage's notes.
func (d *Builder) keep(key, file, notes string) (string, error) {
	sum, err := sumFile(file)
	if err != nil {
		return "", err
	}
	path := filepath.Join(d.Cache, "blobs", sum)
	if err := errors.Join(os.Chmod(file, 0o644), syncFile(file), os.Rename(file, path)); err != nil {
		return "", fmt.Errorf("keeping the output: %w", err)
	}
	used(path) // its steps may have set another time
	record := file + ".record"
	if err := os.WriteFile(record, []byte(sum+"\n"+notes), 0o644); err != nil {
		return "", fmt.Errorf("keeping the output: %w", err)
	}
	if err := errors.Join(syncFile(record), os.Rename(record, filepath.Join(d.Cache, "stages", key))); err != nil {
		return "", fmt.Errorf("keeping the output: %w", err)
	}
	return path, nil
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
