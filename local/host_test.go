package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// here is a tool that every machine has, and missing one that no machine has.
var here, missing = Tool{"/", "never"}, Tool{"no-such-tool", "some-package"}

func TestRequireNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // without apt-get, tools can't be installed
	asked := ""
	err := Require(t.Context(), func(s string) bool { asked += s; return true }, missing, here)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no-such-tool", "apt-get install some-package"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "never") || asked != "" {
		t.Errorf("error %q, asked %q: an installed tool is not missing, and nothing can be installed", err, asked)
	}
}

// fakeApt is the only program in PATH. calls returns the arguments of apt-get.
func fakeApt(t *testing.T) (calls func() string) {
	t.Helper()
	if os.Geteuid() != 0 || !isDebian() {
		t.Skip("tools are only installed on Debian, as root")
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\necho \"$DEBIAN_FRONTEND: $@\" >>'"+log+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	return func() string {
		text, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestNothingIsInstalledWithoutPermission(t *testing.T) {
	calls := fakeApt(t)
	asked := ""
	err := Require(t.Context(), func(s string) bool { asked += s; return false }, missing, here)
	var unavailable *MissingError
	if !errors.As(err, &unavailable) || !unavailable.Installable || len(unavailable.Packages) != 1 {
		t.Errorf("error = %#v; want one that says what is missing and can be installed", err)
	}
	if want := "missing on this machine: no-such-tool; to be installed with apt-get install some-package"; asked != want {
		t.Errorf("asked %q; want %q", asked, want)
	}
	if got := calls(); got != "" {
		t.Errorf("apt-get was called:\n%s", got)
	}
}

func TestRequireInstallsWithPermission(t *testing.T) {
	calls := fakeApt(t)
	if err := Require(t.Context(), func(string) bool { return true }, here, missing); err != nil {
		t.Fatal(err)
	}
	const want = "noninteractive: update -qq\nnoninteractive: install -y -qq --no-install-recommends some-package\n"
	if got := calls(); got != want {
		t.Errorf("apt-get was called with\n%swant\n%s", got, want)
	}
}

func TestRequireDoesNotAskIfNothingIsMissing(t *testing.T) {
	calls := fakeApt(t)
	if err := Require(t.Context(), func(s string) bool { t.Errorf("asked %q", s); return true }, here); err != nil || calls() != "" {
		t.Errorf("error %v, apt-get called with %q", err, calls())
	}
}
