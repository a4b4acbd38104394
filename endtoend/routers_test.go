package endtoend

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestTwoRouters has two sites whose routers run the image with its defaults, and an upstream client.
func TestTwoRouters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	key := w.control.key(true)
	i := builtImage(t, "amd64")
	one, two := w.site(1), w.site(2)
	offer := "TS_EXTRA_ARGS=--accept-routes --advertise-exit-node"
	first := w.router(i, one, "first", "TS_AUTHKEY="+key, "TS_HOSTNAME=first-router", "TS_ROUTES="+one.routes, offer)
	second := w.router(i, two, "second", "TS_AUTHKEY="+key, "TS_ROUTES="+two.routes, offer)
	client, client4, client6 := w.client(key)

	t.Run("LogInAtBoot", func(t *testing.T) {
		first.running()
		second.running()
		s := first.status()
		if s.Self.HostName != "first-router" || len(s.Self.TailscaleIPs) != 2 {
			t.Errorf("the first router is %+v", s.Self)
		}
		if len(s.Health) > 0 {
			t.Errorf("Tailscale complains: %q", s.Health)
		}
		for _, file := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if got := first.must("cat /proc/sys/net/" + file); got != "1\n" {
				t.Errorf("%s is %q", file, got)
			}
		}
		keptSecret(t, key, first)
	})
	eventually(t, "the routers and the client know each other", func() bool {
		return len(first.status().Peer) == 2 && len(second.status().Peer) == 2 && len(client.status().Peer) == 2
	})

	t.Run("SubnetRoutes", func(t *testing.T) {
		for _, to := range []string{two.lan4, two.lan6} {
			eventually(t, "one host reaches "+to, func() bool { return one.host.try("ping", "-c1", "-W2", to) })
			one.host.command("ping", "-c3", "-W5", "-s1400", to)
		}
		eventually(t, "the other host reaches the first", func() bool { return two.host.try("ping", "-c1", "-W2", one.lan4) })
		// Without source NAT, hosts see the caller's address.
		for _, c := range []struct{ from, to string }{{one.lan4, two.lan4}, {one.lan6, two.lan6}} {
			if got := caller(t, one.host, two.host, c.to); got != c.from {
				t.Errorf("the host %s sees calls from %s; want %s", c.to, got, c.from)
			}
		}
		for _, to := range []string{one.lan4, two.lan4, one.lan6} {
			eventually(t, "the client reaches "+to, func() bool { _, err := client.sh("ping -c1 -W2 " + to); return err == nil })
		}
	})

	t.Run("MagicDNS", func(t *testing.T) {
		want := second.status().Self.TailscaleIPs[0]
		name := strings.TrimSuffix(second.status().Self.DNSName, ".")
		if got := first.must("nslookup " + name); !strings.Contains(got, "100.100.100.100") || !strings.Contains(got, want) {
			t.Errorf("the router's own resolver answers\n%s", got)
		}
		// A host of the site sends queries through the router, and so does RouterOS itself.
		for _, asking := range []namespace{one.host, one.gateway} {
			if got := lookup(t, asking, name); got != want {
				t.Errorf("for %s, 100.100.100.100 resolves %s to %s; want %s", asking.name, name, got, want)
			}
		}
	})

	t.Run("ExitNode", func(t *testing.T) {
		for address, want := range map[string]string{websiteAddress: client4, "[" + websiteAddress6 + "]": client6} {
			if got := client.must("wget -qO- http://" + address); got != "you are "+want+"\n" {
				t.Errorf("without an exit node %s returns %q; want %s", address, got, want)
			}
		}
		client.must("tailscale set --exit-node=first-router")
		defer client.must("tailscale set --exit-node=")
		for website, want := range map[string]string{"four.internet.example": one.wan4, "six.internet.example": one.wan6} {
			got := ""
			eventually(t, "the client gets to "+website+" through the router", func() bool {
				got, _ = client.sh("wget -T2 -qO- http://" + website)
				return strings.HasPrefix(got, "you are ")
			})
			if got != "you are "+want+"\n" {
				t.Errorf("with an exit node %s returns %q; want %s", website, got, want)
			}
			if from := w.dns.whoAsked(website); from != one.wan4 {
				t.Errorf("the name server was asked for %s by %q; want %s", website, from, one.wan4)
			}
		}
	})

	t.Run("DirectAndRelayed", func(t *testing.T) {
		path := func() string {
			out, _ := first.sh("tailscale ping -c 1 --until-direct=false second")
			return out
		}
		eventually(t, "the routers find a direct path", func() bool {
			out := path()
			return strings.Contains(out, "via "+two.wan4+":") || strings.Contains(out, "via ["+two.wan6+"]:")
		})
		for _, tables := range []string{"iptables", "ip6tables"} {
			one.gateway.command(tables, "-A", "FORWARD", "-p", "udp", "-j", "DROP")
		}
		eventually(t, "the routers use the relay", func() bool { return strings.Contains(path(), "via DERP(test)") })
		eventually(t, "hosts reach each other through the relay", func() bool { return one.host.try("ping", "-c1", "-W2", two.lan4) })
		if got := caller(t, one.host, two.host, two.lan4); got != one.lan4 {
			t.Errorf("through the relay, the host sees calls from %s", got)
		}
		for _, tables := range []string{"iptables", "ip6tables"} {
			one.gateway.command(tables, "-F", "FORWARD")
		}
		eventually(t, "the routers use a direct path again", func() bool { return !strings.Contains(path(), "DERP") && strings.Contains(path(), "via ") })
	})

	t.Run("MissingRoutes", func(t *testing.T) {
		// RouterOS 7.22 does the same: the rules that lead to Tailscale's own table have no effect.
		first.must("ip rule add pref 10 lookup main; ip -6 rule add pref 10 lookup main")
		if one.host.try("ping", "-c1", "-W2", two.lan4) {
			t.Fatal("the fault has no effect")
		}
		for _, to := range []string{two.lan4, two.lan6, client.status().Self.TailscaleIPs[0]} {
			eventually(t, "a host reaches "+to+" again", func() bool { return one.host.try("ping", "-c1", "-W2", to) })
		}
		second.stop() // without this, the router would advertise its routes again
		eventually(t, "a withdrawn route disappears", func() bool {
			return !strings.Contains(first.must("ip route; ip -6 route"), "192.168.82.0/24") && !strings.Contains(first.must("ip -6 route"), "fd82::")
		})
		if got := first.must("ip route"); !strings.Contains(got, "100.64.0.0/10 dev tailscale0") {
			t.Errorf("the routes are\n%s", got)
		}
	})

	t.Run("Stop", func(t *testing.T) {
		if code := first.stop(); code != 0 {
			t.Errorf("the exit code of a stopped container is %d", code)
		}
	})
}

// keptSecret looks for a key everywhere it could be visible while the container is running.
func keptSecret(t *testing.T, key string, c *container) {
	t.Helper()
	if strings.Contains(c.log(), key) {
		t.Error("the key is in the log")
	}
	processes := strings.Fields(c.must("cd /proc; echo [0-9]*"))
	if len(processes) < 2 {
		t.Errorf("the container has the processes %v", processes)
	}
	for _, p := range processes {
		for _, file := range []string{"cmdline", "environ"} {
			// The processes of this search have exited.
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/proc/%s/%s", c.init, p, file))
			if err == nil && bytes.Contains(text, []byte(key)) {
				t.Errorf("the key is in the %s of process %s", file, p)
			}
		}
	}
	if out, _ := c.sh("grep -rlF '" + key + "' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev 2>/dev/null || find / -xdev -type f -exec grep -slF '" + key + "' {} +"); out != "" {
		t.Errorf("the key is in the files\n%s", out)
	}
}

// caller connects two namespaces with TCP and returns the address that the other end sees.
func caller(t *testing.T, from, to namespace, address string) string {
	t.Helper()
	l := to.listen(net.JoinHostPort(address, "0"))
	seen := make(chan string, 1)
	go func() {
		defer close(seen)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		seen <- host
	}()
	err := from.within(func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), time.Minute)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		t.Error(err)
		_ = l.Close()
	}
	return <-seen
}

// lookup sends a query for an IPv4 address from a namespace to 100.100.100.100.
func lookup(t *testing.T, from namespace, name string) string {
	t.Helper()
	var conn net.Conn
	err := from.within(func() (err error) {
		conn, err = net.Dial("udp", "100.100.100.100:53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return ask(t, conn, name)
}
