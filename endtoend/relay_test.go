package endtoend

import (
	"strings"
	"testing"
)

// Two routers that have no direct path use a third node as a peer relay. Headscale can't allow this (v0.27.1 has no
// capabilities in its policy), so Tailscale's test control server does.
func TestPeerRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start(t, "testcontrol", []string{"HOME=/"},
		w.internet.in(program(t, "testcontrol"), "-address", controlAddress+":8080", "-derp", serverAddress)...).waitFor("listening")
	one, two := w.site(1), w.site(2)
	for _, s := range []struct {
		gateway        namespace
		other4, other6 string
	}{{one.gateway, two.wan4, two.wan6}, {two.gateway, one.wan4, one.wan6}} {
		for _, direction := range []string{"-s", "-d"} {
			s.gateway.command("iptables", "-A", "FORWARD", "-p", "udp", direction, s.other4, "-j", "DROP")
			s.gateway.command("ip6tables", "-A", "FORWARD", "-p", "udp", direction, s.other6, "-j", "DROP")
		}
	}
	i := builtImage(t, "amd64")
	first, second := w.router(i, one, "first"), w.router(i, two, "second")
	relay, relay4, relay6 := w.client("")
	relay.must("tailscale set --relay-server-port=40000")
	first.running()
	second.running()
	address := second.status().Self.TailscaleIPs[0]
	eventually(t, "the routers use the peer relay", func() bool {
		out, _ := first.sh("tailscale ping -c 1 --until-direct=false " + address)
		return strings.Contains(out, "via peer-relay("+relay4+":40000") || strings.Contains(out, "via peer-relay(["+relay6+"]:40000")
	})
	first.must("ping -c 5 -s 1200 -W 20 " + address)
	out := first.must("tailscale status")
	if !strings.Contains(out, "peer-relay "+relay4+":40000") && !strings.Contains(out, "peer-relay ["+relay6+"]:40000") {
		t.Errorf("after a transfer, the router no longer uses the peer relay:\n%s", out)
	}
}
