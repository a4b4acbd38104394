package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
)

var sample = []target{{name: "testdata/sample", minimum: 100}}

func tools(t *testing.T) {
	t.Helper()
	testtools.Require(t, local.Tool{Command: "bwrap", Package: "bubblewrap"}, local.Tool{Command: "prlimit", Package: "util-linux"})
}

func TestWhatTestsDoNotNoticeIsListed(t *testing.T) {
	tools(t)
	var out strings.Builder
	err := run(t.Context(), sample, nil, &out)
	if err == nil || !strings.Contains(err.Error(), "testdata/sample: the score is ") || !strings.Contains(err.Error(), "minimum is 100%") {
		t.Errorf("error = %v", err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "testdata/sample/") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`testdata/sample/sample.go:6: bound moved: a > b`,
		`testdata/sample/sample.go:13: element removed: "second"`,
		`testdata/sample/sample.go:13: text emptied: "second"`,
		`testdata/sample/sample.go:16: early return: Untested (never run)`,
		`testdata/sample/sample.go:16: number changed: 1 (never run)`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("not noticed are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(out.String(), "tests noticed 6 of 11 changes") {
		t.Errorf("the score is\n%s", out.String())
	}
}

// This project, Go's module cache and other files that tests read may be in the directory for temporary files.
func TestTestsReadFilesOutsideTheSandboxAndDoNotChangeThem(t *testing.T) {
	tools(t)
	outside := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(outside, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FILE_OUTSIDE", outside)
	if err := run(t.Context(), []target{{name: "testdata/sample", minimum: 50}}, nil, &strings.Builder{}); err != nil {
		t.Error(err)
	}
}

func TestAScoreAboveTheMinimumIsASuccess(t *testing.T) {
	tools(t)
	if err := run(t.Context(), []target{{name: "testdata/sample", minimum: 50}}, []string{"./testdata/sample"}, &strings.Builder{}); err != nil {
		t.Error(err)
	}
}

// Tests that fail anyway would notice every change.
func TestTestsThatFailAnywayAreAnError(t *testing.T) {
	tools(t)
	err := run(t.Context(), []target{{name: "testdata/failing"}}, nil, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "TestValue fails without a mutant") {
		t.Errorf("error = %v", err)
	}
}

func TestWrongCalls(t *testing.T) {
	if err := run(t.Context(), sample, []string{"./other"}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), `unknown package "other"`) {
		t.Errorf("error = %v", err)
	}
	for _, line := range []string{"a", "a b", "a 101", "a 1 quick", "a 1 landing x"} {
		if _, err := targets(line); err == nil || !strings.Contains(err.Error(), `"`+line+`"`) {
			t.Errorf("%q: error = %v", line, err)
		}
	}
	all, err := targets(packages)
	if err != nil || !slices.ContainsFunc(all, func(t target) bool { return t.landing }) {
		t.Errorf("targets = %v, %v", all, err)
	}
}
