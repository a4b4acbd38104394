package supervisor

import (
	"net/netip"
	"slices"
)

// Tables are the routes that matter if the kernel ignores the rules for Tailscale's own routing table, like RouterOS
// 7.22's kernel. Then nothing is routed to the tailnet, and the supervisor adds routes to the main table.
type Tables struct {
	// Tailnet are the routes that Tailscale has in its own table.
	Tailnet []netip.Prefix
	// Offered are the networks behind this router that it advertises to the tailnet.
	Offered []netip.Prefix
	// Connected are the networks of the container's own interfaces, without Tailscale's.
	Connected []netip.Prefix
	// Control are the addresses of the control server.
	Control []netip.Addr
}

// Skipped is a route that is not added to the main table.
type Skipped struct {
	Route  netip.Prefix
	Reason string
}

// tailnets are the address ranges of all tailnets.
var tailnets = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd7a:115c:a1e0::/48")}

// viaSites are the addresses of 4via6: each contains the number of a site and an IPv4 address there.
var viaSites = netip.MustParsePrefix("fd7a:115c:a1e0:b1a::/64")

// Translated returns an advertised network that needs gVisor's network stack, which translates between the addresses
// of 4via6 and IPv4.
func Translated(offered []netip.Prefix) (netip.Prefix, bool) {
	for _, p := range offered {
		if within(p, []netip.Prefix{viaSites}) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Plan returns the routes that the main table needs for one IP version: routes to the tailnet's interface, and routes to
// the internet that a wider route to the tailnet would otherwise override.
//
// A route of the tailnet is skipped if it would override one of this router's own networks, because another router may
// advertise the same network, or if it would override the control server. An exit node's default route becomes two
// halves. They leave the router's own default route in place for the daemon's sockets, which are bound to its interface.
func (t Tables) Plan(six bool) (tailnet, out []netip.Prefix, skipped []Skipped) {
	for _, p := range t.Tailnet {
		if p.Addr().Is6() != six || within(p, tailnets) || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
			continue
		}
		switch reason := t.reasonToSkip(p); {
		case p.Bits() == 0:
			tailnet = append(tailnet, halves(p)...)
		case reason != "":
			skipped = append(skipped, Skipped{p, reason})
		default:
			tailnet = append(tailnet, p)
		}
	}
	for _, p := range t.Behind(six) {
		if overlapsAny(p, tailnet) {
			out = append(out, p)
		}
	}
	// Connections to the control server that exist already are not bound to the interface.
	for _, a := range t.Control {
		host := netip.PrefixFrom(a, a.BitLen())
		if a.Is6() == six && !within(host, t.Connected) && overlapsAny(host, tailnet) {
			out = append(out, host)
		}
	}
	for _, p := range tailnets {
		if p.Addr().Is6() == six {
			tailnet = append(tailnet, p)
		}
	}
	return tailnet, out, skipped
}

// Behind returns the networks behind this router that are not the container's own.
func (t Tables) Behind(six bool) (all []netip.Prefix) {
	for _, p := range t.Offered {
		if p.Addr().Is6() == six && p.Bits() > 0 && !within(p, t.Connected) && !within(p, tailnets) {
			all = append(all, p)
		}
	}
	return all
}

// reasonToSkip returns why a route must not be in the main table, or an empty string.
func (t Tables) reasonToSkip(p netip.Prefix) string {
	for _, o := range t.Offered {
		if o.Bits() > 0 && o.Bits() <= p.Bits() && o.Overlaps(p) {
			return "this router advertises " + o.String() + " itself"
		}
	}
	for _, c := range t.Connected {
		if c.Bits() <= p.Bits() && c.Overlaps(p) {
			return "it is in the container's own network " + c.String()
		}
	}
	for _, a := range t.Control {
		connected := slices.ContainsFunc(t.Connected, func(c netip.Prefix) bool { return c.Contains(a) })
		if p.Contains(a) && !connected {
			return "it would cut the connection to the control server at " + a.String()
		}
	}
	return ""
}

// halves returns two routes that together cover a default route and override it.
func halves(p netip.Prefix) []netip.Prefix {
	upper := netip.AddrFrom4([4]byte{128})
	if p.Addr().Is6() {
		upper = netip.AddrFrom16([16]byte{128})
	}
	return []netip.Prefix{netip.PrefixFrom(p.Addr(), 1), netip.PrefixFrom(upper, 1)}
}

func within(p netip.Prefix, nets []netip.Prefix) bool {
	return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Overlaps(p) })
}

func overlapsAny(p netip.Prefix, nets []netip.Prefix) bool {
	return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Overlaps(p) })
}
