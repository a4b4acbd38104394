package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCleanEmptiesTheCacheAndSaysHowMuchItFreed(t *testing.T) {
	cache := t.TempDir()
	fill := func() {
		for _, directory := range []string{"blobs", "stages"} {
			if err := os.MkdirAll(filepath.Join(cache, directory), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(cache, "blobs", "output"), make([]byte, 2_340_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	stdout, stderr, code := call(t, "clean", "--cache-dir", cache)
	if want := cache + ": 2.3 MB freed\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit code %d, %q, %q; want %q", code, stdout, stderr, want)
	}
	if _, err := os.Stat(filepath.Join(cache, "blobs")); err == nil {
		t.Error("the outputs are still there")
	}
	fill()
	stdout, _, _ = call(t, "clean", "--cache-dir", cache, "--json")
	var reported struct {
		Path  string
		Freed int64
	}
	if err := json.Unmarshal([]byte(stdout), &reported); err != nil || reported.Path != cache || reported.Freed != 2_340_000 {
		t.Errorf("JSON %s (%v)", stdout, err)
	}
}

func TestCleanRefusesOtherDirectories(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mine")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := call(t, "clean", dir); code != exitUsage || !strings.Contains(stderr, "unexpected argument") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := call(t, "clean", "--cache-dir", file); code != exitFailure || !strings.Contains(stderr, "is not a cache of builds") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestABuildReportsWhatItRemoved(t *testing.T) {
	var printed strings.Builder
	newOptions().builderOptions(newProgress(&printed)).Freed(2_340_000)
	if want := "cache: removed 2.3 MB that no build has used for 30 days\n"; printed.String() != want {
		t.Errorf("printed %q; want %q", printed.String(), want)
	}
}
