package endtoend

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"

	"golang.org/x/sys/unix"
)

// prefix begins the names of all namespaces. The process that created one follows.
const prefix = "mikrotik-tailscale-"

var namespaces atomic.Int64

// namespace is a network namespace.
type namespace struct {
	t    testing.TB
	name string
}

// newNamespace creates a network namespace for the duration of the test.
func newNamespace(t testing.TB, name string) namespace {
	t.Helper()
	testmode.Machine(t)
	n := namespace{t, fmt.Sprintf("%s%d-%d-%s", prefix, os.Getpid(), namespaces.Add(1), name)}
	command(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", n.name).CombinedOutput(); err != nil {
			t.Errorf("removing the namespace %s: %v\n%s", n.name, err, out)
		}
	})
	n.ip("link", "set", "lo", "up")
	return n
}

// removeLeftovers removes the namespaces of killed test runs.
func removeLeftovers() {
	names, _ := os.ReadDir("/run/netns")
	for _, n := range names {
		rest, ours := strings.CutPrefix(n.Name(), prefix)
		pid, _, _ := strings.Cut(rest, "-")
		number, err := strconv.Atoi(pid)
		if ours && err == nil && syscall.Kill(number, 0) != nil {
			_ = exec.Command("ip", "netns", "del", n.Name()).Run()
		}
	}
}

func (n namespace) path() string { return "/run/netns/" + n.name }

// in returns the command line that runs a program in the namespace.
func (n namespace) in(args ...string) []string {
	return append([]string{"nsenter", "--net=" + n.path(), "--"}, args...)
}

// command runs a program in the namespace and fails the test if it fails.
func (n namespace) command(args ...string) string {
	n.t.Helper()
	all := n.in(args...)
	return command(n.t, all[0], all[1:]...)
}

// try reports whether a program succeeds in the namespace.
func (n namespace) try(args ...string) bool {
	all := n.in(args...)
	return exec.CommandContext(n.t.Context(), all[0], all[1:]...).Run() == nil
}

func (n namespace) ip(args ...string) {
	n.t.Helper()
	command(n.t, "ip", append([]string{"-n", n.name}, args...)...)
}

// link connects two namespaces and assigns addresses to both ends.
func link(a namespace, nameA string, addressesA []string, b namespace, nameB string, addressesB []string) {
	a.t.Helper()
	a.ip("link", "add", nameA, "type", "veth", "peer", "name", nameB, "netns", b.name)
	a.addresses(nameA, addressesA...)
	b.addresses(nameB, addressesB...)
}

func (n namespace) addresses(device string, addresses ...string) {
	n.t.Helper()
	for _, a := range addresses {
		n.ip("address", "add", a, "dev", device, "nodad")
	}
	n.ip("link", "set", device, "up")
}

// routes adds routes, each as "TO VIA" with further options.
func (n namespace) routes(routes ...string) {
	n.t.Helper()
	for _, r := range routes {
		to, via, _ := strings.Cut(r, " ")
		n.ip(append([]string{"route", "add", to, "via"}, strings.Fields(via)...)...)
	}
}

// forward turns the namespace into a router.
func (n namespace) forward() {
	n.t.Helper()
	n.command("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
}

// within calls do with the namespace as its network, for example to open a socket.
func (n namespace) within(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer func() { _ = home.Close() }()
	there, err := os.Open(n.path())
	if err != nil {
		return err
	}
	defer func() { _ = there.Close() }()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	done := do()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(err) // the thread would continue in the wrong network
	}
	return done
}

// listen opens a TCP port in the namespace for the duration of the test.
func (n namespace) listen(address string) net.Listener {
	n.t.Helper()
	var l net.Listener
	err := n.within(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = l.Close() })
	return l
}
