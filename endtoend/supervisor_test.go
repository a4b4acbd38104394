package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// node is a machine in the control server.
type node struct {
	ID     int
	Name   string `json:"given_name"`
	Online bool
}

// nodes returns the machines that the control server knows.
func (c *control) nodes() (all []node) {
	c.t.Helper()
	out := c.run("nodes", "list", "--output", "json")
	if err := json.Unmarshal([]byte(out[strings.IndexAny(out, "[n"):]), &all); err != nil {
		c.t.Fatalf("%v:\n%s", err, out)
	}
	return all
}

// only returns the only machine.
func (c *control) only() node {
	c.t.Helper()
	all := c.nodes()
	if len(all) != 1 {
		c.t.Fatalf("the control server knows %+v", all)
	}
	return all[0]
}

func (c *control) remove(n node) {
	c.t.Helper()
	c.run("nodes", "delete", "--identifier", fmt.Sprint(n.ID), "--force")
}

// waitForRoutes waits until a router is logged in and has its two routes from the control server.
//
// Headscale 0.27.1 withdraws a node's routes ten seconds after its connection has ended, unless there is a new one. If the
// new one begins between this check and the withdrawal, Headscale takes the node for disconnected until it connects again
// (hscontrol/poll.go). All nodes do that when Headscale restarts.
func (c *control) waitForRoutes(r *container, what string) {
	c.t.Helper()
	back := func() bool { return r.healthy() && len(r.status().Self.PrimaryRoutes) == 2 }
	if until(time.Now().Add(30*time.Second), back) {
		return
	}
	if slices.ContainsFunc(c.nodes(), func(n node) bool { return !n.Online }) {
		c.t.Log("headscale takes a router for disconnected: restarting headscale")
		c.stop()
		c.start()
	}
	eventually(c.t, what, back)
}

// says counts the supervisor's lines that begin with a text.
func (c *container) says(text string) int { return strings.Count(c.log(), "entrypoint: "+text) }

// The router's login ends while the container is running.
func TestALoginThatEndsIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	key := w.control.key(true)
	s := w.site(1)
	c := w.router(builtImage(t, "amd64"), s, "router", "TS_AUTHKEY="+key, "TS_ROUTES="+s.routes)
	c.running()
	back := func(what string) {
		t.Helper()
		w.control.waitForRoutes(c, what+": the router is logged in again, with its routes")
	}
	back("at first")
	first := w.control.only()
	// The state before NeedsLogin depends on whether the daemon hears of the end from the network map or from a login.
	ends := func() int { return strings.Count(c.log(), "-> NeedsLogin") }
	before := ends()
	w.control.run("nodes", "expire", "--identifier", fmt.Sprint(first.ID))
	eventually(t, "the login ends", func() bool { return ends() > before })
	back("expired")
	// headscale tells a removed node nothing while its connection lasts.
	w.control.remove(w.control.nodes()[0])
	w.control.stop()
	w.control.start()
	c.waitFor("entrypoint: the control server no longer knows this router: registering again")
	eventually(t, "the control server knows the router again", func() bool { return len(w.control.nodes()) == 1 })
	back("removed")
	keptSecret(t, key, c)
}

// An ephemeral node is removed while its router is off. The control server becomes reachable long after the boot.
func TestANodeThatWasRemovedWhileTheRouterWasOff(t *testing.T) {
	t.Parallel()
	for _, once := range []string{"false", "true"} {
		t.Run("TS_AUTH_ONCE="+once, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.control.start()
			s := w.site(1)
			o := options{name: "router", image: builtImage(t, "amd64"), network: s.container, state: t.TempDir(),
				env: []string{"TS_AUTHKEY=" + w.control.key(true), "TS_LOGIN_SERVER=" + controlURL, "TS_ROUTES=" + s.routes, "TS_AUTH_ONCE=" + once}}
			c := startContainer(t, o)
			c.running()
			c.stop()
			w.control.remove(w.control.only())
			w.control.stop()
			c = startContainer(t, o)
			eventually(t, "the daemon has tried for a while", func() bool { return strings.Count(c.log(), "Received error: ") >= 8 })
			w.control.start()
			c.running()
			w.control.waitForRoutes(c, "the routes are back")
		})
	}
}

func TestAnotherControlServer(t *testing.T) {
	t.Parallel()
	for _, old := range []string{"Running", "Stopped"} {
		t.Run(old, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.control.start()
			w.internet.addresses("lo", "10.0.0.2/32")
			second := anotherControl(t, w.internet, "10.0.0.2")
			second.start()
			s := w.site(1)
			o := options{name: "router", image: builtImage(t, "amd64"), network: s.container, state: t.TempDir(),
				env: []string{"TS_AUTHKEY=" + w.control.key(false), "TS_LOGIN_SERVER=" + controlURL}}
			c := startContainer(t, o)
			c.running()
			c.stop()
			if old == "Stopped" {
				w.control.stop()
			}
			o.env = []string{"TS_AUTHKEY=" + second.key(false), "TS_LOGIN_SERVER=" + second.url()}
			c = startContainer(t, o)
			eventually(t, "the router is known to the second server", func() bool { return len(second.nodes()) == 1 })
			c.running()
			if c.says("this router is logged in to "+controlURL+", but TS_LOGIN_SERVER is "+second.url()) != 1 {
				t.Errorf("the log does not mention the other server:\n%s", c.log())
			}
			c.stop()
			if old == "Stopped" {
				return
			}
			// Back at the first server, the router is the same machine, because its key is spent.
			o.env[1] = "TS_LOGIN_SERVER=" + controlURL
			c = startContainer(t, o)
			c.running()
			if len(w.control.nodes()) != 1 {
				t.Errorf("the first server knows %+v", w.control.nodes())
			}
		})
	}
}

func TestAKeyFileThatIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	o := options{name: "router", image: builtImage(t, "amd64"), network: w.site(1).container, state: t.TempDir(),
		env: []string{"TS_AUTHKEY=file:/var/lib/tailscale/key", "TS_LOGIN_SERVER=" + controlURL}}
	write(t, o.state+"/key", strings.Repeat("0", 48))
	c := startContainer(t, o)
	c.waitFor("entrypoint: not logged in: handling register with auth key: AuthKey not found; trying again from time to time, and as soon as the key changes")
	good := w.control.key(false)
	write(t, o.state+"/key", "\""+good+"\"\n")
	c.running()
	if got := c.says("not logged in"); got != 1 || c.says("logged in") != 1 {
		t.Errorf("the log explains %d times why the router is not logged in:\n%s", got, c.log())
	}
	if strings.Contains(c.log(), good) {
		t.Error("the key is in the log")
	}
}

// A board with a hundredth of this machine's speed reaches the same state as a fast one.
func TestASlowBoard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	s := w.site(1)
	group := cpuGroup(t, 5)
	c := startContainer(t, options{name: "router", image: builtImage(t, "amd64"), network: s.container,
		setup: group.enter(),
		env:   []string{"TS_AUTHKEY=" + w.control.key(false), "TS_LOGIN_SERVER=" + controlURL, "TS_ROUTES=" + s.routes}})
	eventually(t, "the slow router has its routes", func() bool { return strings.Contains(w.control.run("nodes", "list-routes"), "192.168.81.0/24") })
	if c.says("") != 0 {
		t.Errorf("the log contains errors because of the slowness:\n%s", c.log())
	}
	if group.count("cpu.stat", "nr_throttled") == 0 {
		t.Error("the router was not slowed down")
	}
}

// Values as people write them, all at once. Each mistake results in one line in the log, and the router still logs
// in.
func TestMistakesInTheEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	s := w.site(1)
	key := w.control.key(false)
	c := w.router(builtImage(t, "amd64"), s, "router", `TS_AUTHKEY=" `+key+` "`, "TS_ROUTES=192.168.81.1/24, 10.9.0.0/24,nonsense,", "TS_ACCEPT_DNS=yes", "TS_HOSTNAME=My Router",
		"TS_EXTRA_ARGS=--auto-update --ssh --accept-routes yes --netfilter-mode=sideways --advertise-tags=a_b", "TS_TAILSCALED_EXTRA_ARGS=--port=high --nonsense stray", "TS_USERSPACE=perhaps",
		"TS_AUTH_ONCE=  ", "TS_STATE_DIR=/etc/passwd/state", "TS_SOCKET=/etc/passwd/sock", "GOMEMLIMIT=48MB", "GOGC=50%", "TS_LOG_VERBOSITY=loud", "TS_BOOT_TIMEOUT=1s", "TS_DEST_IP=192.168.81.2")
	c.running()
	routes := func() []string { return c.status().Self.PrimaryRoutes }
	eventually(t, "the routes are offered", func() bool { return len(routes()) == 1 }) // the policy doesn't approve 10.9.0.0/24
	if got := c.status().Self.HostName; got != "My-Router" {
		t.Errorf("the router is %s", got)
	}
	for _, line := range []string{
		"TS_ROUTES: 192.168.81.1/24 has host bits set: using 192.168.81.0/24",
		`TS_ROUTES: ignoring "nonsense"`,
		`TS_HOSTNAME: "My Router" can't be a hostname: using "My-Router"`,
		"TS_EXTRA_ARGS: ignoring --auto-update, which this Tailscale release doesn't have",
		"TS_EXTRA_ARGS: --ssh needs an image built with --features=+ssh",
		"TS_EXTRA_ARGS: ignoring --netfilter-mode=sideways",
		`TS_EXTRA_ARGS: ignoring "tag:a_b"`,
		"TS_TAILSCALED_EXTRA_ARGS: ignoring --port=high",
		"TS_TAILSCALED_EXTRA_ARGS: ignoring --nonsense",
		"TS_USERSPACE needs an image built with --features=+netstack",
		"TS_STATE_DIR=/etc/passwd/state can't be used",
		"TS_SOCKET=/etc/passwd/sock can't be used",
		"TS_LOG_VERBOSITY=loud is not a number",
		"TS_BOOT_TIMEOUT has no effect in this image",
		"TS_DEST_IP has no effect in this image",
	} {
		if got := c.says(line); got != 1 {
			t.Errorf("the log contains %d times: %s", got, line)
		}
	}
	if strings.Contains(c.log(), "USAGE") || c.says("") > 16 {
		t.Errorf("the log is long:\n%s", c.log())
	}
	keptSecret(t, key, c)
}

// RouterOS 7.22 does the same: the rules that lead to Tailscale's own table have no effect.
const ignoreRules = "ip rule add pref 10 lookup main; ip -6 rule add pref 10 lookup main"

// Two routers advertise the same network and accept each other's routes. Packets to its hosts stay in the network.
func TestTwoRoutersOfOneNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	key := w.control.key(true)
	one, two := w.site(1), w.site(2)
	shared := one.routes + ",192.168.0.0/16"
	second := w.router(builtImage(t, "amd64"), two, "second", "TS_AUTHKEY="+key, "TS_ROUTES="+two.routes+","+shared+",10.0.0.0/24")
	second.running()
	first := startContainer(t, options{name: "first", image: builtImage(t, "amd64"), network: one.container, setup: ignoreRules,
		env: []string{"TS_AUTHKEY=" + key, "TS_LOGIN_SERVER=" + controlURL, "TS_ROUTES=" + one.routes, "TS_EXTRA_ARGS=--accept-routes"}})
	first.running()
	w.control.run("nodes", "approve-routes", "--identifier", fmt.Sprint(w.control.nodes()[0].ID), "--routes", two.routes+","+shared+",10.0.0.0/24")
	eventually(t, "the second router's network is there", func() bool { return strings.Contains(first.must("ip route"), "192.168.82.0/24 dev tailscale0") })
	eventually(t, "the second router's wide network is there", func() bool { return strings.Contains(first.must("ip route"), "192.168.0.0/16 dev tailscale0") })
	for _, own := range []string{"192.168.81.0/24", "10.0.0.0/24"} {
		if got := first.must("ip route"); strings.Contains(got, own+" dev tailscale0") {
			t.Errorf("%s leads to the tailnet:\n%s", own, got)
		}
	}
	if got := first.must("ip route get " + one.lan4); !strings.Contains(got, "via 172.20.0.1") {
		t.Errorf("the route to the router's own host is\n%s", got)
	}
	if !first.healthy() || w.control.try("nodes", "list") != nil {
		t.Error("the router has lost its control server")
	}
}

// Packets of the router and of a host behind it leave through another router's exit node. The control server is still
// reachable.
func TestUsingAnExitNode(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]string{"Rules": "", "NoRules": ignoreRules} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.control.start()
			key := w.control.key(true)
			one, two := w.site(1), w.site(2)
			second := w.router(builtImage(t, "amd64"), two, "second", "TS_AUTHKEY="+key, "TS_ROUTES="+two.routes, "TS_EXTRA_ARGS=--accept-routes --advertise-exit-node")
			second.running()
			first := startContainer(t, options{name: "first", image: builtImage(t, "amd64"), network: one.container, setup: setup,
				env: []string{"TS_AUTHKEY=" + key, "TS_LOGIN_SERVER=" + controlURL, "TS_ROUTES=" + one.routes, "TS_EXTRA_ARGS=--accept-routes --exit-node=second"}})
			first.running()
			want := "you are " + two.wan4 + "\n"
			get := func() string {
				out, _ := first.sh("wget -T2 -qO- http://" + websiteAddress)
				return out
			}
			eventually(t, "the router's own packets leave through the exit node", func() bool { return get() == want })
			one.gateway.routes("default 172.20.0.2 table 100")
			one.gateway.ip("rule", "add", "iif", "lan", "lookup", "100")
			eventually(t, "the host's packets leave through the exit node", func() bool { return visit(one.host, websiteAddress) == want })
			if got := first.must("ip route get " + controlAddress); name == "NoRules" && !strings.Contains(got, "via 172.20.0.1") {
				t.Errorf("the route to the control server is\n%s", got)
			}
			if !first.healthy() {
				t.Errorf("the router is no longer logged in:\n%s", first.log())
			}
		})
	}
}

// visit returns the website's answer to a namespace.
func visit(n namespace, address string) string {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
		err = n.within(func() (err error) {
			conn, err = net.DialTimeout(network, address, 2*time.Second)
			return err
		})
		return conn, err
	}}
	answer, err := (&http.Client{Transport: transport, Timeout: 4 * time.Second}).Get("http://" + address)
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(answer.Body)
	return string(text)
}
