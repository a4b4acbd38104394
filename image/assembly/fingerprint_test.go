package assembly

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFingerprintNamesFilesAndLinksByTheirContent(t *testing.T) {
	directory := t.TempDir()
	if err := os.MkdirAll(filepath.Join(directory, "etc/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "etc/motd"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("motd", filepath.Join(directory, "etc/link")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/etc/motd": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"/etc/link": "link:motd",
	}
	if got, err := Fingerprint(directory); err != nil || !maps.Equal(got, want) {
		t.Errorf("Fingerprint() = %v (%v); want %v", got, err, want)
	}
	if _, err := Fingerprint(directory + "/absent"); err == nil || !strings.Contains(err.Error(), "reading the extra directory") {
		t.Errorf("error = %v", err)
	}
}
