package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/image/assembly"
)

// container is a running image.
type container struct {
	*process
	init     int // its process 1, by its number on this machine
	emulated bool
	env      []string // of programs that run in it
}

// options are the options of a container.
type options struct {
	name    string
	image   image
	network namespace
	env     []string
	// args replace the image's arguments.
	args []string
	// state is the directory of the volume. If it is empty, a new directory is used.
	state string
	// without is "tun" to run without that device.
	without string
	// emulated runs the container in a user namespace, with a network of its own instead of network.
	emulated bool
	// setup is a script that runs in the container's namespaces, in its root filesystem, before the container starts.
	setup string
}

// setup prepares what a container engine provides: mounts, devices and a host name.
const setup = `
	set -eu
	name=$1 state=$2 without=$3 emulated=$4 own=$5 path=$6
	shift 6
	mount --make-rprivate /
	mount --bind . .
	cd "$PWD"
	mount -t proc proc proc
	mount -t sysfs sysfs sys
	if $emulated; then
		mount -t proc proc /proc
		mount --rbind /dev dev
	else
		mount -t tmpfs tmpfs dev
		mkdir dev/net
		for device in null zero full random urandom net/tun; do
			[ "$device" = "$without" ] || mknod "dev/$device" c $(stat -c "0x%t 0x%T" "/dev/$device")
		done
	fi
	mount --bind "$state" var/lib/tailscale
	hostname "$name"
	eval "$own"
	export PATH="$path"
	exec /usr/sbin/chroot . "$@"`

// startContainer runs the image until the test ends.
func startContainer(t testing.TB, o options) *container {
	t.Helper()
	if o.state == "" {
		o.state = t.TempDir()
	}
	root := filepath.Join(t.TempDir(), "rootfs")
	command(t, "cp", "-a", o.image.rootfs, root)
	write(t, filepath.Join(root, "etc/resolv.conf"), "nameserver "+serverAddress+"\n")
	args := o.args
	if args == nil {
		args = o.image.config.Cmd
	}
	args = append(append([]string{}, o.image.config.Entrypoint...), args...)
	// This machine's programs are looked up before the image's PATH is set.
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	path := ""
	for _, v := range append(append([]string{}, o.image.config.Env...), o.env...) {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
			continue
		}
		env = append(env, v)
	}
	unshare := []string{"unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--wd=" + root, "--",
		"sh", "-c", setup, "sh", o.name, o.state, o.without, strconv.FormatBool(o.emulated), o.setup, path}
	line := append(unshare, args...)
	if o.emulated {
		line = append([]string{"unshare", "--user", "--map-root-user", "--net"}, line[1:]...)
	} else {
		line = o.network.in(line...)
	}
	c := &container{process: start(t, o.name, env, line...), emulated: o.emulated}
	if o.emulated {
		c.env = o.env // selects the processor
	}
	eventually(t, o.name+" starts", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.cmd.Process.Pid))
		c.init, _ = strconv.Atoi(strings.TrimSpace(string(children)))
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.init))
		program, _, _ := strings.Cut(string(line), "\x00")
		// Until then, the process is still setting up the namespaces.
		return c.ended() || program != "" && !slices.Contains([]string{"unshare", "sh", "/usr/sbin/chroot"}, program)
	})
	if c.ended() {
		t.Fatalf("%s ended:\n%s", o.name, c.log())
	}
	return c
}

// sh runs a shell script in the container, like /container/shell.
func (c *container) sh(script string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	args := []string{"--target=" + strconv.Itoa(c.init), "--mount", "--uts", "--net", "--pid", "--root", "--wd"}
	if c.emulated {
		args = append(args, "--user", "--preserve-credentials")
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, "--", "/bin/sh", "-c", script)...)
	cmd.Env = append([]string{"PATH=/usr/local/bin:/bin", "HOME=/root"}, c.env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs a shell script in the container and fails the test if it fails.
func (c *container) must(script string) string {
	c.t.Helper()
	out, err := c.sh(script)
	if err != nil {
		c.t.Fatalf("%s: %s: %v\n%s", c.name, script, err, out)
	}
	return out
}

func (c *container) healthy() bool {
	_, err := c.sh("healthcheck")
	return err == nil
}

// running waits until the container is logged in.
func (c *container) running() {
	c.t.Helper()
	eventually(c.t, c.name+" is logged in", func() bool { return c.healthy() || c.ended() })
	if c.ended() {
		c.t.Fatalf("%s ended:\n%s", c.name, lastLines(c.log(), 60))
	}
}

// status is the part of "tailscale status --json" that tests use.
type status struct {
	BackendState string
	Self         peer
	Peer         map[string]peer
	Health       []string
}

type peer struct {
	ID, HostName, DNSName, CurAddr, Relay string
	TailscaleIPs                          []string
	PrimaryRoutes                         []string
	Online                                bool
}

func (c *container) status() status {
	c.t.Helper()
	var s status
	if err := json.Unmarshal([]byte(c.must("tailscale status --json")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// stop stops the container and returns its exit code.
func (c *container) stop() int {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	<-c.done
	return c.cmd.ProcessState.ExitCode()
}

func (c *container) signal(s syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(c.init, s); err != nil {
		c.t.Fatal(err)
	}
}

// processes returns the directories of the container's processes in this machine's /proc.
func (c *container) processes() (all []string) {
	c.t.Helper()
	ours, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.init))
	if err != nil {
		c.t.Fatal(err)
	}
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range directories {
		if its, err := os.Readlink(f + "/ns/pid"); err == nil && its == ours {
			all = append(all, f)
		}
	}
	return all
}

// runs reports whether the command line of a process in the container begins with a text.
func (c *container) runs(text string) bool {
	c.t.Helper()
	return slices.ContainsFunc(c.processes(), func(p string) bool {
		line, _ := os.ReadFile(p + "/cmdline")
		return strings.HasPrefix(strings.ReplaceAll(string(line), "\x00", " "), text)
	})
}

// size returns the size of the image's files.
func (i image) size(t testing.TB) int64 {
	t.Helper()
	size, err := assembly.Size(i.rootfs)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
