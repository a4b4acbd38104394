package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

// age sets times in a cache back, as if the last build that used them was so long ago.
func age(t *testing.T, d time.Duration, paths ...string) {
	t.Helper()
	then := time.Now().Add(-d)
	for _, path := range paths {
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
}

// plant writes a file of ten bytes, and returns its path.
func plant(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("ten bytes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// oldCache returns a cache in which some things were used recently and others not, and which was not trimmed today.
func oldCache(t *testing.T) (cache string, kept, gone []string) {
	t.Helper()
	cache = t.TempDir()
	for _, sub := range []string{"blobs", "stages"} {
		kept = append(kept, plant(t, cache, sub, "new"))
		gone = append(gone, plant(t, cache, sub, "old"))
	}
	kept = append(kept, plant(t, cache, "roots", "newroot", "etc", "passwd"), plant(t, cache, "go-build", "new"))
	gone = append(gone, plant(t, cache, "roots", "oldroot", "etc", "passwd"), plant(t, cache, "go-mod", "module@v1", "go.mod"))
	kept = append(kept, plant(t, cache, "locks", "new"), plant(t, cache, "locks", "newroot"), plant(t, cache, "mine"))
	gone = append(gone, plant(t, cache, "locks", "old"), plant(t, cache, "locks", "oldroot"), plant(t, cache, "locks", "failed"))
	// Go keeps modules read-only, and files in a root are as old as their package.
	if err := os.Chmod(filepath.Join(cache, "go-mod", "module@v1"), 0o555); err != nil {
		t.Fatal(err)
	}
	age(t, 300*day, filepath.Join(cache, "roots", "newroot", "etc", "passwd"))
	age(t, 20*day, filepath.Join(cache, "blobs", "new"), filepath.Join(cache, "stages", "new"), filepath.Join(cache, "roots", "newroot"))
	age(t, 31*day, filepath.Join(cache, "blobs", "old"), filepath.Join(cache, "stages", "old"), filepath.Join(cache, "roots", "oldroot"), filepath.Join(cache, "go-mod"))
	age(t, 2*day, plant(t, cache, "trimmed"))
	return cache, kept, gone
}

func wantKept(t *testing.T, kept, gone []string) {
	t.Helper()
	for _, path := range kept {
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
	for _, path := range gone {
		if exists(path) {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestUnusedThingsAreRemoved(t *testing.T) {
	cache, kept, gone := oldCache(t)
	freed, err := trim(cache, time.Now())
	if err != nil || freed != 4*10 {
		t.Errorf("trim frees %d bytes (%v); want the bytes of a blob, a stage, a root and a module", freed, err)
	}
	wantKept(t, kept, gone)
	if left, _ := filepath.Glob(filepath.Join(cache, dropped+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// trim only runs once a day.
	old := plant(t, cache, "blobs", "older")
	age(t, 100*day, old)
	if freed, err := trim(cache, time.Now().Add(day/2)); err != nil || freed != 0 || !exists(old) {
		t.Errorf("half a day later, %d bytes were freed (%v)", freed, err)
	}
	if freed, err := trim(cache, time.Now().Add(2*day)); err != nil || freed != 10 {
		t.Errorf("two days later, %d bytes were freed (%v)", freed, err)
	}
}

// In a cache from before use was recorded, everything looks old.
func TestNothingIsRemovedBeforeUseIsRecorded(t *testing.T) {
	cache, kept, gone := oldCache(t)
	if err := os.Remove(filepath.Join(cache, "trimmed")); err != nil {
		t.Fatal(err)
	}
	if freed, err := trim(cache, time.Now()); err != nil || freed != 0 {
		t.Errorf("trim frees %d bytes (%v)", freed, err)
	}
	wantKept(t, slices.Concat(kept, gone), nil)
	if freed, err := trim(cache, time.Now().Add(2*day)); err != nil || freed == 0 {
		t.Errorf("two days later, %d bytes were freed (%v)", freed, err)
	}
}

// A partly removed root must not be mistaken for a complete one. The next trim removes the rest.
func TestAnInterruptedRemovalIsCompleted(t *testing.T) {
	cache, _, _ := oldCache(t)
	rest := plant(t, cache, dropped+"X", "etc", "passwd")
	if _, err := trim(cache, time.Now()); err != nil || exists(rest) {
		t.Errorf("the rest is there: %v (%v)", exists(rest), err)
	}
	rest = plant(t, cache, dropped+"X", "etc", "passwd")
	if _, _, err := Clean(t.Context(), cache, nil); err != nil || exists(rest) {
		t.Errorf("after a clean, the rest is there: %v (%v)", exists(rest), err)
	}
}

func TestABuildTrimsTheCacheAndRecordsUse(t *testing.T) {
	cache := newCache(t)
	s := stage("used", "touch -d 2001-01-01 /out/out")
	d, _ := open(t, Options{Cache: cache})
	path, err := d.Output(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || time.Since(info.ModTime()) > day {
		t.Errorf("the output was used at %v (%v)", info.ModTime(), err)
	}
	key, err := keyOf(s)
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(cache, "stages", key)
	root, unlock, err := d.root(t.Context(), s.Packages)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	age(t, 29*day, path, record, root)
	d2, _ := open(t, Options{Cache: cache})
	if _, err := d2.Output(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, unlock, err = d2.root(t.Context(), s.Packages); err != nil {
		t.Fatal(err)
	}
	unlock()
	for _, used := range []string{path, record, root} {
		if info, err := os.Stat(used); err != nil || time.Since(info.ModTime()) > day {
			t.Errorf("%s was used at %v (%v)", used, info.ModTime(), err)
		}
	}
}

func TestABuildReportsWhatItRemoved(t *testing.T) {
	cache, kept, gone := oldCache(t)
	var reported []int64
	d, err := Open(t.Context(), Options{Cache: cache, Freed: func(n int64) { reported = append(reported, n) }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if !slices.Equal(reported, []int64{4 * 10}) {
		t.Errorf("reported as freed: %v", reported)
	}
	wantKept(t, kept, gone)
}

// A build must not remove what another build is using.
func TestNothingIsRemovedWhileABuildRuns(t *testing.T) {
	cache := newCache(t)
	d, _ := open(t, Options{Cache: cache})
	old := plant(t, cache, "blobs", "old")
	age(t, 31*day, old)
	age(t, 2*day, plant(t, cache, "trimmed"))
	open(t, Options{Cache: cache})
	if !exists(old) {
		t.Error("a second build removed something")
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := 0
	_, freed, err := Clean(ctx, cache, func() { waited++; cancel() })
	if !errors.Is(err, context.Canceled) || freed != 0 || waited != 1 || !exists(old) {
		t.Errorf("Clean frees %d bytes, waits %d times (%v)", freed, waited, err)
	}
	if _, err := d.Output(t.Context(), stage("after", "echo >/out/out")); err != nil {
		t.Errorf("the build that was running: %v", err)
	}
}

func TestABuildWaitsForClean(t *testing.T) {
	cache := t.TempDir()
	l := cacheLock(cache)
	if err := l.Lock(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan Event, 1)
	done := make(chan error, 1)
	go func() {
		d, err := Open(t.Context(), Options{Cache: cache, Observe: func(e Event) { seen <- e }})
		if err == nil {
			err = d.Close()
		}
		done <- err
	}()
	select {
	case e := <-seen:
		if e.State != Waiting {
			t.Errorf("reported while waiting: %v", e)
		}
	case <-time.After(time.Minute):
		t.Error("nothing is reported while the build waits")
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the build still waits")
	}
}

// Other directories may have a subdirectory tmp, too.
func TestCleanRefusesOtherDirectories(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "tmp", "mine")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, freed, err := Clean(t.Context(), directory, nil); err == nil || freed != 0 || !strings.Contains(err.Error(), directory+" is not a cache") {
		t.Errorf("%d bytes are freed (%v)", freed, err)
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) != 1 || !exists(file) {
		t.Errorf("the directory contains %v (%v)", left, err)
	}
}

// However much of the cache an interrupted removal has removed, it is still a cache.
func TestCleanContinuesAfterAFailure(t *testing.T) {
	for removed := range len(subdirectories) + 1 {
		cache := t.TempDir()
		plant(t, cache, "lock")
		plant(t, cache, dropped+"before", "file")
		for _, sub := range subdirectories[removed:] {
			plant(t, cache, sub, "file")
		}
		if _, _, err := Clean(t.Context(), cache, nil); err != nil {
			t.Errorf("after %d directories: %v", removed, err)
		}
		if left, err := os.ReadDir(cache); err != nil || len(left) != 1 {
			t.Errorf("after %d directories, %v are left (%v)", removed, left, err)
		}
	}
}

func TestCleanEmptiesTheCache(t *testing.T) {
	cache, kept, gone := oldCache(t)
	mine := kept[len(kept)-1]
	directory, freed, err := Clean(t.Context(), cache, nil)
	if err != nil || directory != cache || freed != int64(10*len(slices.Concat(kept[:len(kept)-1], gone)))+10 {
		t.Errorf("Clean frees %d bytes of %s (%v)", freed, directory, err)
	}
	// A directory that is named by mistake keeps its own files.
	wantKept(t, []string{mine}, slices.Concat(kept[:len(kept)-1], gone))
	if _, freed, err := Clean(t.Context(), cache, nil); err != nil || freed != 0 {
		t.Errorf("the second time, %d bytes are freed (%v)", freed, err)
	}
	missing := filepath.Join(cache, "missing")
	if _, freed, err := Clean(t.Context(), missing, nil); err != nil || freed != 0 || exists(missing) {
		t.Errorf("for a missing cache, %d bytes are freed (%v)", freed, err)
	}
	// The next build starts from nothing.
	d, err := Open(t.Context(), Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
