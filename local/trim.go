package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

// subdirectories are the directories of the cache. Besides their content, only the file trimmed and the leftovers of an
// interrupted removal are removed from the cache directory, because it may contain the user's own files. They are
// removed in this order: the stages, which mark a cache, come last.
var subdirectories = []string{"tmp", "locks", "go-build", "go-mod", "roots", "blobs", "stages"}

const (
	// keptFor is how long the cache keeps things that no build uses.
	keptFor = 30 * 24 * time.Hour
	// trimmedEvery is how often a build looks for such things.
	trimmedEvery = 24 * time.Hour
)

// cacheLock returns the lock of a whole cache directory. Builds share it, and removing things from the cache needs it
// exclusively.
func cacheLock(cache string) *flock.Flock { return flock.New(filepath.Join(cache, "lock")) }

// share takes the cache's lock for a build. If no other build is running, it first removes what no build has used for
// a long time.
func (d *Builder) share(ctx context.Context) (release func(), err error) {
	l := cacheLock(d.Cache)
	if alone, err := l.TryLock(); err == nil && alone {
		freed, err := trim(d.Cache, time.Now())
		if err := errors.Join(err, l.Unlock()); err != nil {
			return nil, fmt.Errorf("trimming the cache %s: %w", d.Cache, err)
		}
		if freed > 0 {
			d.Freed(freed)
		}
	}
	if err := take(ctx, l.TryRLock, l.TryRLockContext, func() { d.Observe(Event{Title: "cache", State: Waiting}) }); err != nil {
		return nil, fmt.Errorf("waiting for the cache %s: %w", d.Cache, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// used records that a build has used something in the cache. A failure, for example on a read-only disk, is ignored.
func used(paths ...string) {
	now := time.Now()
	for _, path := range paths {
		_ = os.Chtimes(path, now, now)
	}
}

// trim removes what no build has used for a long time from a locked cache, and returns the number of removed bytes.
// It does this once a day. The modules and Go's build cache are removed as a whole: Go trims the latter itself.
func trim(cache string, now time.Time) (freed int64, err error) {
	marker := filepath.Join(cache, "trimmed")
	switch info, err := os.Stat(marker); {
	case errors.Is(err, fs.ErrNotExist):
		// This is a cache from before use was recorded, so it is unknown what is in use.
		return 0, os.WriteFile(marker, nil, 0o644)
	case err != nil:
		return 0, err
	case now.Sub(info.ModTime()) < trimmedEvery:
		return 0, nil
	}
	if err := removeDropped(cache); err != nil {
		return 0, err
	}
	candidates := []string{filepath.Join(cache, "go-mod"), filepath.Join(cache, "go-build")}
	for _, sub := range []string{"blobs", "stages", "roots"} {
		all, err := os.ReadDir(filepath.Join(cache, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		for _, e := range all {
			candidates = append(candidates, filepath.Join(cache, sub, e.Name()))
		}
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err != nil || now.Sub(info.ModTime()) < keptFor {
			continue
		}
		size, err := drop(cache, path)
		freed += size
		if err != nil {
			return freed, err
		}
	}
	// Nobody has the lock of a stage or root while the cache's lock is exclusive.
	locks, err := os.ReadDir(filepath.Join(cache, "locks"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return freed, err
	}
	for _, e := range locks {
		if !exists(filepath.Join(cache, "stages", e.Name())) && !exists(filepath.Join(cache, "roots", e.Name())) {
			if err := os.Remove(filepath.Join(cache, "locks", e.Name())); err != nil {
				return freed, err
			}
		}
	}
	return freed, os.Chtimes(marker, now, now)
}

// Clean removes everything from a cache directory, or from the default one if cache is empty. It returns the
// directory and the number of removed bytes. If a build is using the cache, it calls waiting and waits for the build
// to end. It refuses a directory that is not a cache, because other directories may have a subdirectory tmp, too.
func Clean(ctx context.Context, cache string, waiting func()) (directory string, freed int64, err error) {
	directory, err = cacheDirectory(cache)
	if err != nil || !exists(directory) {
		return directory, 0, err
	}
	if err := isCache(directory); err != nil {
		return directory, 0, err
	}
	l := cacheLock(directory)
	if err := take(ctx, l.TryLock, l.TryLockContext, waiting); err != nil {
		return directory, 0, fmt.Errorf("waiting for the cache %s: %w", directory, err)
	}
	defer func() { _ = l.Unlock() }()
	if err := removeDropped(directory); err != nil {
		return directory, 0, fmt.Errorf("emptying the cache %s: %w", directory, err)
	}
	for _, sub := range append([]string{"trimmed"}, subdirectories...) {
		size, err := drop(directory, filepath.Join(directory, sub))
		freed += size
		if err != nil {
			return directory, freed, fmt.Errorf("emptying the cache %s: %w", directory, err)
		}
	}
	return directory, freed, nil
}

// isCache returns an error for a directory that no build has used as a cache. An emptied cache still has its lock, and
// one that was emptied in part still has its stages.
func isCache(directory string) error {
	has := func(name string) bool { return exists(filepath.Join(directory, name)) }
	switch {
	case has("stages") && (has("blobs") || has("lock")):
		return nil
	case has("lock") && !slices.ContainsFunc(subdirectories, has):
		return nil
	}
	return fmt.Errorf("%s is not a cache of builds: want the --cache-dir of a build", directory)
}

// dropped is the prefix of things that are being removed. After an interruption, no build may mistake the rest for a
// complete root.
const dropped = "dropped-"

// drop removes a file or directory from a cache and returns the size of its files.
func drop(cache, path string) (size int64, err error) {
	moved := filepath.Join(cache, dropped+rand.Text())
	if err := os.Rename(path, moved); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	_ = filepath.WalkDir(moved, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size, RemoveAll(moved)
}

// removeDropped removes the leftovers of an interrupted removal.
func removeDropped(cache string) error {
	left, err := filepath.Glob(filepath.Join(cache, dropped+"*"))
	for _, dir := range left {
		err = errors.Join(err, RemoveAll(dir))
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
