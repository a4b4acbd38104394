// Package testmode decides which tests run. By default those run that show that every image works. LONG_TESTS=1
// adds the tests that prove more and take longer, LONG_TESTS=recipe,pclntab only those of these packages. With
// -short, tests that need root, a network or an image are left out.
package testmode

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// LongTests is the environment variable that adds the long tests: 1, or the names of packages.
const LongTests = "LONG_TESTS"

// Long skips a test unless long tests are wanted.
func Long(t testing.TB) {
	t.Helper()
	Machine(t)
	if !IsLong() {
		t.Skipf("takes long: set %s=1 to run it", LongTests)
	}
}

// IsLong says whether long tests are wanted, for a test that tries more cases then. Tests run in the directory of their
// package.
func IsLong() bool {
	directory, err := os.Getwd()
	wanted := os.Getenv(LongTests)
	return wanted == "1" || err == nil && slices.Contains(strings.Split(wanted, ","), filepath.Base(directory))
}

// Machine skips a test with -short: the test needs root or a network, or builds an image.
func Machine(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs root, a network or an image: not run with -short")
	}
}
