package endtoend

import (
	"strings"
	"testing"
)

// Flash wears out, so neither the daemon nor the entrypoint writes files when something happens in the tailnet. The
// exceptions are the few lines of resolv.conf when a node joins, and the copy of the state.
func TestARunningRouterWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	key := w.control.key(true)
	one := w.site(1)
	c := w.router(builtImage(t, "amd64"), one, "router", "TS_AUTHKEY="+key, "TS_ROUTES="+one.routes, "TS_EXTRA_ARGS=--accept-routes")
	c.running()
	eventually(t, "the entrypoint is done", func() bool { return !c.runs("tailscale --socket") })
	c.must("touch /dev/now") // a file in memory
	client, _, _ := w.client(key)
	eventually(t, "the router knows the client", func() bool { return len(c.status().Peer) == 1 })
	eventually(t, "the client reaches the router's network", func() bool { _, err := client.sh("ping -c1 -W2 " + one.lan4); return err == nil })
	client.stop()
	eventually(t, "the router misses the client", func() bool {
		for _, p := range c.status().Peer {
			return !p.Online
		}
		return true
	})
	for file := range strings.Lines(c.must("find / /var/lib/tailscale -xdev -type f -newer /dev/now")) {
		if file != "/etc/resolv.conf\n" && !strings.HasPrefix(file, "/var/lib/tailscale/tailscaled.state.") {
			t.Errorf("%s was written to", strings.TrimSpace(file))
		}
	}
}
