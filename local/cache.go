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

// lookup returns the output of a stage in the cache. A blob with a wrong checksum, for example after a full disk or a
// crash, counts as missing.
func (d *Builder) lookup(key string) (string, bool) {
	record := filepath.Join(d.Cache, "stages", key)
	text, err := os.ReadFile(record)
	if err != nil {
		return "", false
	}
	path := filepath.Join(d.Cache, "blobs", strings.TrimSpace(string(text)))
	sum, err := sumFile(path)
	if err != nil || sum != filepath.Base(path) {
		return "", false
	}
	used(record, path)
	return path, true
}

// keep moves a stage's output into the cache.
func (d *Builder) keep(key, file string) (string, error) {
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
	if err := os.WriteFile(record, []byte(sum+"\n"), 0o644); err != nil {
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
