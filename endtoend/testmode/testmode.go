// Package testmode selects the tests to run. The default is the tests that show that every image works. LONG_TESTS=1
// adds tests that check more and take longer, and LONG_TESTS=recipe,pclntab only adds those of the named packages: "." is
// the one in the module's directory.
// With -short, tests that need root, a network or an image are skipped.
package testmode

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// LongTests is the environment variable that adds long tests: 1, or a list of packages.
const LongTests = "LONG_TESTS"

// Long skips a test unless long tests are selected.
func Long(t testing.TB) {
	t.Helper()
	Machine(t)
	if !IsLong() {
		t.Skipf("takes long: set %s=1 to run it", LongTests)
	}
}

// IsLong reports whether long tests are selected, for a test that then tries more cases. The package's name comes
// from the working directory: tests run in the directory of their package.
func IsLong() bool {
	directory, err := os.Getwd()
	wanted := os.Getenv(LongTests)
	return wanted == "1" || err == nil && slices.Contains(strings.Split(wanted, ","), packageIn(directory))
}

// packageIn returns the name of a directory's package. A clone may have any name.
func packageIn(directory string) string {
	if _, err := os.Stat(filepath.Join(directory, "dagger.json")); err == nil {
		return "."
	}
	return filepath.Base(directory)
}

// Machine skips a test with -short, because it needs root or a network, or builds an image.
func Machine(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs root, a network or an image: not run with -short")
	}
}
