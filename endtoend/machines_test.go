package endtoend

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

// On whole emulated machines with an arm64 kernel, ARM images use the kernel's networking. They log in, and another
// node answers a packet that the kernel sends to the tailnet. That node is an image with gVisor's network stack.
func TestArmImagesCarryPackets(t *testing.T) {
	testmode.Long(t)
	for arch := range emulators {
		t.Run(arch, func(t *testing.T) {
			other := builtImage(t, arch, withGVisor...)
			printed := runMachine(t, builtImage(t, arch), map[string]string{
				"testcontrol": programFor(t, "arm64", "testcontrol"), "other-tailscaled": filepath.Join(other.rootfs, "usr/local/bin/tailscaled")}, `
				busybox-plain insmod /tun.ko
				busybox-plain insmod /dummy.ko
				ip address add 172.20.0.2/24 dev dummy0
				ip link set dummy0 up
				ip route add default via 172.20.0.1
				HOME=/ /testcontrol >/tmp/control 2>&1 &
				export TS_EXTRA_ARGS=`+testcontrol+`
				mkdir /other-bin
				cp /other-tailscaled /other-bin/tailscaled
				# Every daemon provides /run/tailscale/tailscaled.sock, so the other node has its own /run. It starts first: while two
				# programs are unpacked at once, the emulator can need minutes for one.
				PATH=/other-bin:$PATH TS_HOSTNAME=other TS_USERSPACE=true TS_STATE_DIR=/other busybox-plain unshare -m sh -c '
					busybox-plain mount -t tmpfs none /run
					entrypoint >/tmp/other 2>&1 &
					until healthcheck; do busybox-plain sleep 1; done >/dev/null 2>&1
					tailscale ip -4 >/tmp/address'
				TS_HOSTNAME=router entrypoint >/tmp/log 2>&1 &
				tries=0
				until healthcheck; do
					tries=$((tries + 1))
					[ $tries -lt 100 ] || break
					busybox-plain sleep 1
				done >/tmp/out 2>&1
				other=$(cat /tmp/address)
				say device "$(ip -o -4 address show dev tailscale0)"
				say route "$(ip route get "$other")"
				busybox-plain ping -c 5 -W 20 "$other" >/tmp/out 2>&1 && say answer yes
				tail -n 20 /tmp/out /tmp/control /tmp/other /tmp/log`)
			if !strings.Contains(printed["device"], "inet 100.") || !strings.Contains(printed["route"], "dev tailscale0") || printed["answer"] != "yes" {
				t.Errorf("the machine printed %q", printed)
			}
		})
	}
}

// BenchmarkMachines measures the ARM images on whole emulated machines with an arm64 kernel, which only contain the
// image and a measuring script. Unlike with emulated programs, the kernel is for the same processor, as on a router:
// a command can run the daemon's unpacked program, and memory is the machine's own. The daemon does not log in,
// because the machine has no network.
func BenchmarkMachines(b *testing.B) {
	for b.Loop() {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprintln(table, "\nplatform\tpacked\tsocket, s\t--version, ms\tstatus, ms\tunreclaimable, kB\twith a command, kB\t")
		for _, target := range platform.All() {
			if _, ok := emulators[target.Name]; !ok {
				continue
			}
			for _, p := range packings {
				b.Run(target.Name+"-"+p.name, func(b *testing.B) {
					printed := runMachine(b, builtImage(b, target.Name, p.flags...), nil, measuring)
					m := map[string]float64{}
					for name, value := range printed {
						var err error
						if m[name], err = strconv.ParseFloat(value, 64); err != nil {
							b.Fatalf("%s: %v", name, err)
						}
					}
					each := func(what string) float64 { return 1000 * (m["after "+what] - m["before "+what]) / 5 }
					_, _ = fmt.Fprintf(table, "%s\t%s\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", target.Name, p.name,
						m["socket"]-m["start"], each("--version"), each("status"),
						m["memory alone"]-m["memory before"], m["memory command"]-m["memory before"])
				})
			}
		}
		_ = table.Flush()
	}
}

// measuring prints times in seconds of the machine's clock, and in kB the memory that is anonymous or in files in
// memory.
const measuring = `
now() { read -r seconds _ </proc/uptime; say "$1" "$seconds"; }
memory() { say "memory $1" "$(busybox-plain awk '/^(AnonPages|Shmem):/ { kb += $2 } END { print kb }' /proc/meminfo)"; }
memory before
now start
busybox-plain insmod /tun.ko
entrypoint >/tmp/log 2>&1 &
until [ -S /run/tailscale/tailscaled.sock ]; do busybox-plain sleep 0.1; done
now socket
busybox-plain sleep 20
for command in --version status; do
	now "before $command"
	for i in 1 2 3 4 5; do tailscale $command; done >/tmp/out 2>&1
	now "after $command"
done
busybox-plain sleep 60 # until the daemon is idle
memory alone
tailscale up --login-server=http://127.0.0.1:1 >/tmp/out 2>&1 &
busybox-plain sleep 10
memory command
[ -d /proc/$! ] || exit`

// machineInit is a machine's process 1. It uses its own unpacked busybox, so that the memory of the image's shell can
// be measured.
const machineInit = `#!/bin/busybox-plain sh
export %s
for directory in proc sysfs:sys devtmpfs:dev tmpfs:run; do
	busybox-plain mount -t "${directory%%:*}" none "/${directory#*:}"
done
busybox-plain ip link set lo up
say() { echo "printed $1=$2"; }
(
%s
say end yes
)
echo o >/proc/sysrq-trigger
busybox-plain sleep 60
`

// machine is an emulator of whole machines, with its arguments, its console, and a kernel for it.
type machine struct {
	emulator local.Tool
	args     []string
	console  string
	kernel   func() (string, error)
}

// machines are the machines by the architecture of their kernel.
var machines = map[string]machine{
	"amd64": newMachine("amd64", local.Tool{Command: "qemu-system-x86_64", Package: "qemu-system-x86"}, "ttyS0", "-M", "q35", "-cpu", "max"),
	"arm64": newMachine("arm64", local.Tool{Command: "qemu-system-aarch64", Package: "qemu-system-arm"}, "ttyAMA0", "-M", "virt", "-cpu", "cortex-a53"),
}

func newMachine(architecture string, emulator local.Tool, console string, args ...string) machine {
	return machine{emulator, args, console, sync.OnceValues(func() (string, error) { return machineKernel(architecture, emulator) })}
}

// machineOf returns the machine that runs a platform's programs. An arm64 kernel also runs those for 32-bit ARM.
func machineOf(target platform.Target) machine {
	if target.Architecture == "arm" {
		return machines["arm64"]
	}
	return machines[target.Architecture]
}

// runMachine boots a whole emulated machine with an image and additional files as its only file system, and runs a
// script on it. It returns the values that the script prints, by name.
func runMachine(t testing.TB, i image, files map[string]string, script string) map[string]string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "rootfs")
	command(t, "cp", "-a", i.rootfs, root)
	plain := builtImage(t, i.target.Name, append(packings[0].flags, "--applet-names=ash,awk,cat,cp,date,flock,insmod,ip,mkdir,mknod,mount,mv,nc,ping,rm,sed,sh,sleep,sync,unshare")...)
	command(t, "cp", "-L", filepath.Join(plain.rootfs, "bin/busybox"), filepath.Join(root, "bin/busybox-plain"))
	for name, path := range files {
		command(t, "cp", path, filepath.Join(root, name))
	}
	return machineOf(i.target).run(t, root, i.config.Env, script)
}

// run boots the machine with a directory as its only file system, and runs a script on it. It returns the values that
// the script prints, by name.
func (m machine) run(t testing.TB, root string, env []string, script string, args ...string) map[string]string {
	t.Helper()
	kernel, err := m.kernel()
	if err != nil {
		t.Fatal(err)
	}
	command(t, "sh", "-euc", `cp "$1"/*.ko "$2"`, "sh", kernel, root)
	if err := os.WriteFile(filepath.Join(root, "init"), fmt.Appendf(nil, machineInit, strings.Join(env, " "), script), 0o755); err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	command(t, "sh", "-euc", `cd "$1"; find . | cpio --create --format=newc --quiet >"$2"`, "sh", root, initrd)
	machine := start(t, "machine", nil, slices.Concat([]string{m.emulator.Command}, m.args, args, []string{"-m", "256", "-nographic", "-no-reboot",
		"-nic", "none", "-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", initrd, "-append", "console=" + m.console + " quiet panic=-1"})...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	select {
	case <-machine.done:
	case <-ctx.Done():
		t.Fatalf("the machine did not shut down:\n%s", lastLines(machine.log(), 60))
	}
	printed := map[string]string{}
	for line := range strings.Lines(machine.log()) {
		if line, ok := strings.CutPrefix(strings.TrimSpace(line), "printed "); ok {
			name, value, _ := strings.Cut(line, "=")
			printed[name] = value
		}
	}
	if printed["end"] != "yes" {
		t.Fatalf("the machine did not finish its script:\n%s", lastLines(machine.log(), 60))
	}
	delete(printed, "end")
	return printed
}

// machineKernel returns a directory with the Debian release's kernel for virtual machines, and the modules that the
// machines need. It also installs the emulator.
func machineKernel(architecture string, emulator local.Tool) (string, error) {
	ctx := context.Background()
	if err := local.Require(ctx, func(s string) bool { fmt.Println(s); return true },
		emulator,
		local.Tool{Command: "cpio", Package: "cpio"},
		local.Tool{Command: "xz", Package: "xz-utils"}); err != nil {
		return "", err
	}
	dir := filepath.Join(scratch, "kernel-"+architecture)
	out, err := exec.CommandContext(ctx, "sh", "-euc", `architecture=$2
		mkdir "$1"
		cd "$1"
		mkdir -p lists/partial archives/partial unpacked
		touch status
		apt() { program=$1; shift; "$program" -q -o APT::Architecture=$architecture -o APT::Architectures=$architecture -o APT::Sandbox::User=root \
			-o Dir::State="$PWD" -o Dir::State::status="$PWD/status" -o Dir::Cache="$PWD" "$@"; }
		apt apt-get update
		apt apt-get download "$(apt apt-cache depends "linux-image-cloud-$architecture" | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)"
		dpkg-deb -x linux-image-*.deb unpacked
		mv unpacked/boot/vmlinuz-* vmlinuz
		for module in tun dummy; do
			find unpacked -name "$module.ko" -o -name "$module.ko.xz" | xargs xz -dcf >$module.ko # -f: or as it is
		done`, "sh", dir, architecture).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("downloading a kernel: %w\n%s", err, out)
	}
	return dir, nil
}
