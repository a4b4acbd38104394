//go:build !arm

package checksum_test

import (
	"os"
	"os/exec"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
)

// Both kinds of 32-bit processors compute it, of which the older one can't read words at odd addresses.
func TestTheChecksumOnARM(t *testing.T) {
	testmode.Long(t)
	testtools.Require(t, local.Tool{Command: "qemu-arm-static", Package: "qemu-user-static"})
	for version, processor := range map[string]string{"5": "arm926", "7": "cortex-a7"} {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-short", "-exec", "qemu-arm-static -cpu "+processor, ".")
		cmd.Env = append(os.Environ(), "GOARCH=arm", "GOARM="+version, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("ARMv%s: %v\n%s", version, err, out)
		}
	}
}
