package endtoend

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
)

// emulator is the program that runs a platform's binaries on the processor of the platform's boards. The kernel
// recognizes those binaries by the class and the machine in the ELF header.
type emulator struct {
	program, cpu   string
	class, machine byte
}

var emulators = map[string]emulator{
	"arm64": {"qemu-aarch64-static", "cortex-a53", 2, 0xb7},
	"arm":   {"qemu-arm-static", "cortex-a7", 1, 0x28},
	"armv5": {"qemu-arm-static", "arm926", 1, 0x28},
}

// ARM images log in on emulated processors. They use userspace networking, because an emulator doesn't support all of
// the kernel's networking. That needs images with gVisor's network stack. By default only ARMv5 does, which has the fewest
// instructions.
func TestArmImagesLogIn(t *testing.T) {
	t.Parallel()
	for arch := range emulators {
		t.Run(arch, func(t *testing.T) {
			if arch != "armv5" {
				testmode.Long(t)
			}
			t.Parallel()
			c := emulated(t, builtImage(t, arch, withGVisor...), t.TempDir())
			if got := c.status().Self.HostName; got != "router" {
				t.Errorf("the router's name is %q", got)
			}
			if code := c.stop(); code != 0 {
				t.Errorf("the exit code is %d", code)
			}
		})
	}
}

// emulated starts an image on an emulated processor, next to a control server, and waits until it is logged in.
func emulated(t testing.TB, i image, state string) *container {
	t.Helper()
	c := startEmulated(t, i, options{state: state, env: []string{"TS_USERSPACE=true", "TS_EXTRA_ARGS=" + testcontrol}})
	start(t, "testcontrol", []string{"HOME=/"}, "nsenter", "--target="+strconv.Itoa(c.init), "--user", "--net", "--preserve-credentials",
		"--", program(t, "testcontrol")).waitFor("listening")
	c.running()
	return c
}

// startEmulated starts an image on an emulated processor. The emulator is only registered for the container, in a user
// namespace, so the container has its own network, too. Flag O passes programs to the emulator as open files, because a
// program unpacked into memory has no path. Flag P passes their own names.
func startEmulated(t testing.TB, i image, o options) *container {
	t.Helper()
	e := emulators[i.target.Name]
	path, err := exec.LookPath(e.program)
	if err != nil {
		t.Fatal(err)
	}
	o.name, o.image, o.emulated = "router", i, true
	o.env = append([]string{"QEMU_CPU=" + e.cpu}, o.env...)
	o.setup = fmt.Sprintf(`mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
		printf '%%s' ':router:M::\x7fELF\x%02x\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x%02x\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:%s:OPF' >/proc/sys/fs/binfmt_misc/register
		ip link set lo up
		ip link add veth-tailnet type veth peer name other
		ip link set other up
		ip address add 172.20.0.2/24 dev veth-tailnet
		ip link set veth-tailnet up
		ip route add default via 172.20.0.1`, e.class, e.machine, path)
	return startContainer(t, o)
}
