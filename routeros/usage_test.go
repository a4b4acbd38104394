package routeros

import (
	"os"
	"regexp"
	"testing"
)

var block = regexp.MustCompile("(?s)```routeros\n(.*?)```")

// The commands in the documentation, in their order, on the oldest release that they support.
func TestTheCommandsInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../docs/usage.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/usage.md has no commands")
	}
	r := newRouter(21)
	r.Put("/file", "name", "tailscale-arm64.tar")
	r.Put("/ipv6/firewall/filter", "chain", "forward", "action", "drop")
	for _, b := range blocks {
		if err := run(t, r, b[1]); err != nil {
			t.Errorf("%v in\n%s", err, b[1])
		}
		r.Wait(60)
	}
	// The last command is an update, after which the container has to be started.
	must(t, r, "/container/start [find where name=tailscale]")
	expectRunning(t, r, "image")
	for menu, want := range map[string]string{"/ip/route": tailnet.String(), "/ipv6/route": tailnetSix.String()} {
		if !r.Has(menu, "dst-address", want) {
			t.Errorf("there is no route to %s", want)
		}
	}
}
