package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsComeFromTheEnvironmentOrAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for given, want := range map[string]string{
		"hush":          "hush",
		"hush\n":        "hush",
		"hush\r\n":      "hush",
		" two words \n": " two words ",
		"two\nlines":    "two\nlines",
	} {
		t.Setenv("A_SECRET", given)
		if err := os.WriteFile(file, []byte(given), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, place := range []string{"env://A_SECRET", "file://" + file} {
			if got, err := readSecret("password", place); err != nil || got != want {
				t.Errorf("%s with %q: secret = %q (%v); want %q", place, given, got, err, want)
			}
		}
	}
	if got, err := readSecret("password", ""); err != nil || got != "" {
		t.Errorf("without the option, secret = %q (%v)", got, err)
	}
}

func TestAMissingSecretIsAnError(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]string{
		"env://NOT_SET_HERE":  "no password in env://NOT_SET_HERE",
		"file://" + empty:     "no password in file://" + empty,
		"file:///absent":      "reading --password: open /absent: no such file or directory",
		"hunter2":             "--password does not accept the secret itself, only where to read it from: want env://NAME or file://PATH",
		"env":                 "--password does not accept the secret itself",
		"vault://hunter2/key": "want env://NAME or file://PATH",
	} {
		_, err := readSecret("password", place)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error = %v; want it to say %q", place, err, want)
		}
	}
}
