package endtoend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"dagger/mikrotik-tailscale/driver"
	"dagger/mikrotik-tailscale/platform"
)

// BenchmarkMachines measures the ARM images on whole emulated machines with an arm64 kernel, which hold nothing
// but the image and a script that measures. Other than under an emulator of programs, the kernel there is
// that of the processor, as on a router: a command can run the daemon's unpacked program, and memory is the
// machine's. The daemon does not log in, since the machine has no network.
func BenchmarkMachines(b *testing.B) {
	if err := driver.Require(b.Context(), func(s string) { fmt.Println(s) },
		driver.Tool{Command: "qemu-system-aarch64", Package: "qemu-system-arm"},
		driver.Tool{Command: "cpio", Package: "cpio"}); err != nil {
		b.Fatal(err)
	}
	kernel := arm64Kernel(b)
	for b.Loop() {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprintln(table, "\nplatform\tpacked\tsocket, s\t--version, ms\tstatus, ms\tunreclaimable, kB\twith a command, kB\t")
		for _, target := range platform.All() {
			if _, ok := emulators[target.Name]; !ok {
				continue
			}
			for _, p := range packings {
				b.Run(target.Name+"-"+p.name, func(b *testing.B) {
					m := runMachine(b, kernel, builtImage(b, target.Name, p.flags...))
					each := func(what string) float64 { return 1000 * (m["after "+what] - m["before "+what]) / machineTimes }
					_, _ = fmt.Fprintf(table, "%s\t%s\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", target.Name, p.name,
						m["socket"]-m["start"], each("--version"), each("status"),
						m["memory alone"]-m["memory before"], m["memory command"]-m["memory before"])
				})
			}
		}
		_ = table.Flush()
	}
}

// arm64Kernel gives the file of the Debian release's kernel for virtual arm64 machines.
func arm64Kernel(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	command(b, "sh", "-euc", `cd "$1"
		mkdir -p lists/partial archives/partial kernel
		touch status
		apt() { program=$1; shift; "$program" -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
			-o Dir::State="$PWD" -o Dir::State::status="$PWD/status" -o Dir::Cache="$PWD" "$@"; }
		apt apt-get update
		apt apt-get download "$(apt apt-cache depends linux-image-cloud-arm64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)"
		dpkg-deb -x linux-image-*.deb kernel`, "sh", dir)
	found, err := filepath.Glob(filepath.Join(dir, "kernel/boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		b.Fatalf("the kernel's package has the kernels %q, not one: %v", found, err)
	}
	return found[0]
}

const machineTimes = 5

// machineInit is the machine's process 1. It measures with a busybox of its own, not packed, so that what the
// image's shell takes counts. Times are the machine's seconds, memory what is anonymous or in files in memory.
const machineInit = `#!/busybox-plain sh
for folder in proc sysfs:sys devtmpfs:dev tmpfs:run; do
	/busybox-plain mount -t "${folder%%:*}" none "/${folder#*:}"
done
/busybox-plain ip link set lo up
say() { echo "probe $1=$2"; }
now() { read -r seconds _ </proc/uptime; say "$1" "$seconds"; }
memory() { say "memory $1" "$(/busybox-plain awk '/^(AnonPages|Shmem):/ { kb += $2 } END { print kb }' /proc/meminfo)"; }
export %[1]s
memory before
now start
TS_USERSPACE=true entrypoint >/tmp/log 2>&1 &
while ! [ -S /run/tailscale/tailscaled.sock ]; do /busybox-plain sleep 0.1; done
now socket
/busybox-plain sleep 20
for command in --version status; do
	now "before $command"
	for i in %[2]s; do tailscale $command; done >/tmp/out 2>&1
	now "after $command"
done
memory alone
tailscale up --login-server=http://127.0.0.1:1 >/tmp/out 2>&1 &
/busybox-plain sleep 10
memory command
[ -d /proc/$! ] && say done 1
echo o >/proc/sysrq-trigger
/busybox-plain sleep 60
`

// runMachine starts a machine with an image as its only file system, and gives what its script measured.
func runMachine(b *testing.B, kernel string, i image) map[string]float64 {
	b.Helper()
	dir := b.TempDir()
	root, initrd := filepath.Join(dir, "rootfs"), filepath.Join(dir, "initrd")
	command(b, "cp", "-a", i.rootfs, root)
	plain := builtImage(b, i.target.Name, packings[0].flags...)
	command(b, "cp", "-L", filepath.Join(plain.rootfs, "bin/busybox"), filepath.Join(root, "busybox-plain"))
	times := strings.TrimSpace(strings.Repeat("x ", machineTimes))
	if err := os.WriteFile(filepath.Join(root, "init"), fmt.Appendf(nil, machineInit, strings.Join(i.config.Env, " "), times), 0o755); err != nil {
		b.Fatal(err)
	}
	command(b, "sh", "-ec", `cd "$1"; find . | cpio --create --format=newc --quiet >"$2"`, "sh", root, initrd)
	machine := start(b, "machine", nil, "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "256", "-nographic", "-no-reboot",
		"-nic", "none", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyAMA0 quiet panic=-1")
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	select {
	case <-machine.done:
	case <-ctx.Done():
		b.Fatalf("the machine did not end:\n%s", lastLines(machine.log(), 60))
	}
	measured := map[string]float64{}
	for line := range strings.Lines(machine.log()) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "probe ")
		name, value, _ := strings.Cut(line, "=")
		var n float64
		if _, err := fmt.Sscan(value, &n); ok && err == nil {
			measured[name] = n
		}
	}
	if measured["done"] != 1 {
		b.Fatalf("the machine did not come to the end of its script:\n%s", lastLines(machine.log(), 60))
	}
	return measured
}
