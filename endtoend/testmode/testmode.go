// Package testmode decides which tests run. By default those run that show that every image works. With
// LONG_TESTS=1 the ones run, too, that prove more and take longer. With -short only those are left that
// need neither root nor a network.
package testmode

import (
	"os"
	"testing"
)

// LongTests is the environment variable that adds the long tests.
const LongTests = "LONG_TESTS"

// Long skips a test unless long tests are wanted.
func Long(t testing.TB) {
	t.Helper()
	Machine(t)
	if !IsLong() {
		t.Skipf("takes long: set %s=1 to run it", LongTests)
	}
}

// IsLong says whether long tests are wanted, for a test that tries more cases then.
func IsLong() bool { return os.Getenv(LongTests) != "" }

// Machine skips a test with -short: the test needs root or a network, or builds an image.
func Machine(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs root, a network or an image: not run with -short")
	}
}
