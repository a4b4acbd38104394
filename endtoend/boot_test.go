package endtoend

import (
	"strings"
	"syscall"
	"testing"
)

// lonely returns a container's network with internet access, in which Tailscale's test control server runs. It
// accepts every login.
func lonely(t testing.TB) namespace {
	t.Helper()
	n, outside := newNamespace(t, "container"), newNamespace(t, "outside")
	link(outside, "veth", []string{"172.20.0.1/24", "fd20::1/64"}, n, "veth-tailnet", []string{"172.20.0.2/24", "fd20::2/64"})
	n.routes("default 172.20.0.1", "::/0 fd20::1")
	start(t, "testcontrol", []string{"HOME=/"}, n.in(program(t, "testcontrol"))...).waitFor("listening")
	return n
}

const testcontrol = "--login-server=http://127.0.0.1:9911"

func TestWithNoEnvironmentTheDaemonWaitsForUp(t *testing.T) {
	t.Parallel()
	c := startContainer(t, options{name: "router", image: builtImage(t, "amd64"), network: lonely(t)})
	eventually(t, "the daemon waits", func() bool { out, _ := c.sh("healthcheck"); return out == "NeedsLogin\n" })
	if c.healthy() {
		t.Error("the health check accepts a daemon that is not logged in")
	}
	c.must("tailscale up --netfilter-mode=off " + testcontrol)
	if out, err := c.sh("healthcheck"); out != "Running\n" || err != nil {
		t.Errorf("the health check prints %q (%v)", out, err)
	}
	c.must("tailscale down")
	if out, err := c.sh("healthcheck"); out != "Stopped\n" || err == nil {
		t.Errorf("the health check prints %q (%v)", out, err)
	}
	if out, err := c.sh("healthcheck alive"); out != "Stopped\n" || err != nil {
		t.Errorf("the daemon answers, but the check prints %q (%v)", out, err)
	}
	c.signal(syscall.SIGSTOP)
	if out, err := c.sh("healthcheck"); err == nil {
		t.Errorf("the health check prints %q for a daemon that hangs", out)
	}
	if out, err := c.sh("healthcheck alive"); err == nil {
		t.Errorf("the daemon hangs, but the check prints %q", out)
	}
	c.signal(syscall.SIGCONT)
	if out := c.must("ps | grep '[ ]Z' || true"); out != "" {
		t.Errorf("zombie processes are left:\n%s", out)
	}
	// If the check gets its answer early, it ends early, not at its timeout.
	c.must("mv /run/tailscale/tailscaled.sock /run/away; i=0; while [ $i -lt 50 ]; do timeout 20 healthcheck 2>/dev/null; [ $? = 1 ] || exit 9; i=$((i + 1)); done; mv /run/away /run/tailscale/tailscaled.sock")
	if code := c.stop(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

func TestTheEnvironmentReachesTheDaemon(t *testing.T) {
	t.Parallel()
	c := startContainer(t, options{name: "router", image: imageWithFeatures(t), network: lonely(t), args: []string{"--port=41000"}, env: []string{
		"TS_STATE_DIR=/tmp/state/here", "TS_SOCKET=/tmp/run/sock", "TS_USERSPACE=TRUE", "TS_ACCEPT_DNS=false", "TS_HOSTNAME=early",
		"TS_TAILSCALED_EXTRA_ARGS=--verbose=1", "TS_EXTRA_ARGS=--hostname=late " + testcontrol,
		"TS_AUTH_ONCE=perhaps", "GOGC=", "GOMEMLIMIT=100MiB",
	}})
	eventually(t, "the router is logged in", func() bool { _, err := c.sh("healthcheck"); return err == nil })
	if got := c.must("tailscale status --json"); !strings.Contains(got, `"HostName": "late"`) {
		t.Errorf("the status is %s", got)
	}
	// The kernel's table has the port as a hexadecimal number.
	c.must("ls /tmp/state/here/tailscaled.state; [ -S /tmp/run/sock ]; grep -q ':A028 ' /proc/net/udp")
	if want := "entrypoint: TS_AUTH_ONCE=perhaps is neither true nor false: using false"; !strings.Contains(c.log(), want) {
		t.Errorf("the log lacks %s", want)
	}
}

func TestMissingDevicesAndSettingsAreFixedOrReported(t *testing.T) {
	t.Parallel()
	const noForwarding = "echo 0 >proc/sys/net/ipv4/ip_forward; echo 0 >proc/sys/net/ipv6/conf/all/forwarding; "
	t.Run("Device", func(t *testing.T) {
		c := startContainer(t, options{name: "router", image: builtImage(t, "amd64"), network: lonely(t), without: "net/tun",
			setup: noForwarding, env: []string{"TS_EXTRA_ARGS=" + testcontrol}})
		c.running()
		c.must("ip link show tailscale0")
		if got := c.must("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"); got != "1\n1\n" {
			t.Errorf("forwarding is %q", got)
		}
		if strings.Contains(c.log(), "entrypoint: ") {
			t.Errorf("the entrypoint complains:\n%s", c.log())
		}
	})
	t.Run("Rights", func(t *testing.T) {
		c := startContainer(t, options{name: "router", image: imageWithFeatures(t), network: lonely(t), without: "net/tun",
			setup: noForwarding + "mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys; mount -o remount,ro dev",
			env:   []string{"TS_EXTRA_ARGS=" + testcontrol}})
		c.running()
		for _, want := range []string{"can't use /dev/net/tun", "/proc/sys/net/ipv4/ip_forward is 0 and can't be set to 1", "/proc/sys/net/ipv6/conf/all/forwarding is 0 and can't be set to 1"} {
			if strings.Count(c.log(), "entrypoint: "+want) != 1 {
				t.Errorf("the log does not contain once: %s", want)
			}
		}
	})
	t.Run("Name", func(t *testing.T) {
		n, outside := newNamespace(t, "container"), newNamespace(t, "outside")
		link(outside, "veth", []string{"172.20.0.1/24"}, n, "tailscale", []string{"172.20.0.2/24"})
		n.routes("default 172.20.0.1")
		startContainer(t, options{name: "router", image: builtImage(t, "amd64"), network: n}).waitFor("entrypoint: Tailscale ignores tailscale, the interface of the default route")
	})
}

// A control server that is unreachable at boot, a one-time key, and restarts of every kind.
func TestTheRouterKeepsItsIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	key := w.control.key(false)
	w.control.stop()
	s := w.site(1)
	o := options{name: "router", image: builtImage(t, "amd64"), network: s.container, state: t.TempDir(), env: []string{
		"TS_AUTHKEY=" + key, "TS_LOGIN_SERVER=" + controlURL, "TS_ROUTES=" + s.routes}}
	c := startContainer(t, o)
	c.waitFor("entrypoint: the control server can't be reached yet, the daemon keeps trying")
	keptSecret(t, key, c)
	w.control.start()
	c.running()
	if strings.Contains(c.log(), "don't reach tailscale0") {
		t.Error("the entrypoint reports missing routes before the login")
	}
	id := c.status().Self.ID
	again := func(what string) {
		t.Helper()
		c = startContainer(t, o)
		c.running()
		w.control.waitForRoutes(c, what+": the routes are back")
		if got := c.status().Self.ID; got != id {
			t.Errorf("%s: the router is %s; before it was %s", what, got, id)
		}
		keptSecret(t, key, c)
	}
	c.signal(syscall.SIGKILL)
	<-c.done
	again("after a kill")
	if code := c.stop(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	again("after a stop, with a used key")
	c.stop()

	o.env = append(o.env, "TS_AUTH_ONCE=true", "TS_HOSTNAME=renamed")
	again("once")
	eventually(t, "the name is changed", func() bool { return c.status().Self.HostName == "renamed" })
	c.stop()

	w.control.stop()
	c = startContainer(t, o)
	eventually(t, "the daemon answers although its control server is down", func() bool { _, err := c.sh("healthcheck alive"); return err == nil })
	w.control.start()
	c.running()
}

func TestAKeyFromAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	key := w.control.key(false)
	o := options{name: "router", image: builtImage(t, "amd64"), network: w.site(1).container, state: t.TempDir(),
		env: []string{"TS_AUTH_KEY=file:/var/lib/tailscale/key", "TS_LOGIN_SERVER=" + controlURL}}
	c := startContainer(t, o)
	c.waitFor("entrypoint: can't read the key, waiting for it: open /var/lib/tailscale/key")
	write(t, o.state+"/key", key+"\n")
	c.running()
	if strings.Contains(c.log(), key) {
		t.Error("the key is in the log")
	}
}

// Programs run from files in memory, but top and RouterOS's profiler show their names.
func TestProcessesHaveTheNamesOfTheirPrograms(t *testing.T) {
	t.Parallel()
	c := startContainer(t, options{name: "router", image: builtImage(t, "amd64"), network: newNamespace(t, "container")})
	eventually(t, "the daemon answers", func() bool { _, err := c.sh("healthcheck alive"); return err == nil })
	for script, want := range map[string]string{
		"cat /proc/1/comm":    "tailscaled",
		"cat /proc/self/comm": "cat",
		"tailscale wait & sleep 1; cat /proc/$!/comm; kill $!": "tailscale",
	} {
		got := ""
		eventually(t, want, func() bool { got, _ = c.sh(script); return got == want+"\n" })
	}
}
