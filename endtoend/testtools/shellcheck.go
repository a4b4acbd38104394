package testtools

import (
	"os/exec"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/local"
)

// Shellcheck checks a script for a POSIX shell.
func Shellcheck(t testing.TB, name, script string) {
	t.Helper()
	Require(t, local.Tool{Command: "shellcheck", Package: "shellcheck"})
	cmd := exec.CommandContext(t.Context(), "shellcheck", "--shell=sh", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}
