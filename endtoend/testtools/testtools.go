// Package testtools provides the programs that tests run.
package testtools

import (
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/local"
)

// Require installs tools that are missing on this machine. With -short it skips the test.
func Require(t testing.TB, tools ...local.Tool) {
	t.Helper()
	testmode.Machine(t)
	if err := local.Require(t.Context(), func(s string) bool { t.Log(s); return true }, tools...); err != nil {
		t.Fatal(err)
	}
}
