package supervisor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func prefixes(text string) (all []netip.Prefix) {
	for _, p := range strings.Fields(text) {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestRoutesThatGoIntoTheMainTable(t *testing.T) {
	control := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}
	for _, c := range []struct {
		name, table, offered, connected string
		six                             bool
		tailnet, out, skipped           string
	}{
		{name: "nothing but the tailnet", tailnet: "[100.64.0.0/10]"},
		{name: "networks behind other routers", table: "100.64.0.1/32 192.168.89.0/24 fd89::/64", tailnet: "[100.64.0.0/10 192.168.89.0/24]"},
		{name: "the same in IPv6", six: true, table: "192.168.89.0/24 fd89::/64 fe80::/64", tailnet: "[fd7a:115c:a1e0::/48 fd89::/64]"},
		{name: "another router offers the same network", table: "192.168.88.0/24 192.168.89.0/24", offered: "192.168.88.0/24",
			tailnet: "[100.64.0.0/10 192.168.89.0/24]", skipped: "192.168.88.0/24: this router advertises 192.168.88.0/24 itself"},
		{name: "another router offers a part of it", table: "192.168.88.128/25", offered: "192.168.88.0/24",
			tailnet: "[100.64.0.0/10]", skipped: "192.168.88.128/25: this router advertises 192.168.88.0/24 itself"},
		{name: "another router offers a wider one", table: "192.168.0.0/16", offered: "192.168.88.0/24 fd88::/64",
			tailnet: "[100.64.0.0/10 192.168.0.0/16]", out: "[192.168.88.0/24]"},
		{name: "the container's own network", table: "172.20.0.0/24 172.16.0.0/12", connected: "172.20.0.0/24",
			tailnet: "[100.64.0.0/10 172.16.0.0/12]", skipped: "172.20.0.0/24: it is in the container's own network 172.20.0.0/24"},
		{name: "the way to the control server", table: "10.0.0.0/24 10.1.0.0/24", tailnet: "[10.1.0.0/24 100.64.0.0/10]",
			skipped: "10.0.0.0/24: it would cut the connection to the control server at 10.0.0.1"},
		{name: "a control server in the container's own network", table: "10.0.0.0/8", connected: "10.0.0.0/24", tailnet: "[10.0.0.0/8 100.64.0.0/10]"},
		{name: "an exit node", table: "0.0.0.0/0 192.168.89.0/24", offered: "192.168.88.0/24 0.0.0.0/0", connected: "172.20.0.0/24",
			tailnet: "[0.0.0.0/1 100.64.0.0/10 128.0.0.0/1 192.168.89.0/24]", out: "[10.0.0.1/32 192.168.88.0/24]"},
		{name: "an exit node in IPv6", six: true, table: "0.0.0.0/0 ::/0", tailnet: "[::/1 8000::/1 fd7a:115c:a1e0::/48]", out: "[2001:db8::1/128]"},
		{name: "this router is an exit node", table: "192.168.89.0/24", offered: "0.0.0.0/0 ::/0", tailnet: "[100.64.0.0/10 192.168.89.0/24]"},
	} {
		tailnet, out, skipped := Tables{prefixes(c.table), prefixes(c.offered), prefixes(c.connected), control}.Plan(c.six)
		var reasons []string
		for _, s := range skipped {
			reasons = append(reasons, fmt.Sprintf("%s: %s", s.Route, s.Reason))
		}
		if c.out == "" {
			c.out = "[]"
		}
		// In any order.
		for _, all := range [][]netip.Prefix{tailnet, out} {
			slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
		}
		if got := fmt.Sprint(tailnet); got != c.tailnet {
			t.Errorf("%s: to the tailnet %s; want %s", c.name, got, c.tailnet)
		}
		if got := fmt.Sprint(out); got != c.out {
			t.Errorf("%s: to the way out %s; want %s", c.name, got, c.out)
		}
		if got := strings.Join(reasons, "\n"); got != c.skipped {
			t.Errorf("%s: skipped are %s; want %s", c.name, got, c.skipped)
		}
	}
}

func TestNetworksThatNeedTranslation(t *testing.T) {
	for offered, want := range map[string]string{
		"":                                 "",
		"192.168.88.0/24 fd88::/64 ::/0":   "",
		"fd7a:115c:a1e0::/48":              "",
		"fd7a:115c:a1e0:b1b:0:7:a00:0/104": "",
		"fd7a:115c:a1e0:b1a::/64":          "fd7a:115c:a1e0:b1a::/64",
		"10.0.0.0/8 fd7a:115c:a1e0:b1a:0:7:a00:0/104": "fd7a:115c:a1e0:b1a:0:7:a00:0/104",
	} {
		got, found := Translated(prefixes(offered))
		if found != (want != "") || found && got.String() != want {
			t.Errorf("of %q: %v, %t; want %q", offered, got, found, want)
		}
	}
}
