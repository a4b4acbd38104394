//go:build supervised

// This file is added to Tailscale's cmd/tailscaled. It repairs routes if the kernel ignores the rules for Tailscale's
// own routing table, like RouterOS 7.22's kernel. Package supervisor decides which routes to add.

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/tailscale/netlink"
	"golang.org/x/sys/unix"

	"tailscale.com/cmd/tailscaled/supervisor"
	"tailscale.com/envknob"
	"tailscale.com/feature/buildfeatures"
	"tailscale.com/ipn/ipnext"
	"tailscale.com/tsd"
	"tailscale.com/types/logger"
)

// system has the daemon's subsystems.
var system *tsd.System

// systemExtension gets access to them.
type systemExtension struct{}

func init() {
	ipnext.RegisterExtension("supervisor", func(_ logger.Logf, b ipnext.SafeBackend) (ipnext.Extension, error) {
		system = b.Sys()
		return systemExtension{}, nil
	})
}

func (systemExtension) Name() string           { return "supervisor" }
func (systemExtension) Init(ipnext.Host) error { return nil }
func (systemExtension) Shutdown() error        { return nil }

// routing repairs routes in the kernel.
type routing struct {
	d   *daemon
	tun string

	// ignored is true for IPv4 or IPv6 if the kernel ignores the routing rules.
	ignored [2]bool
	// added are the routes that repair has added.
	added  [2][]netlink.Route
	logged map[string]bool
	// bind is true if the daemon's sockets must be bound to the interface of the default route.
	bind bool

	server    string
	addresses []netip.Addr
	resolved  time.Time
}

// once writes a line to the log, unless it has been written before.
func (r *routing) once(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !r.logged[line] {
		if r.logged == nil {
			r.logged = map[string]bool{}
		}
		r.logged[line] = true
		logf("%s", line)
	}
}

// repair checks the routes, and repairs them if necessary.
func (r *routing) repair() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	link, err := netlink.LinkByName(r.tun)
	if err != nil {
		return
	}
	for version, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := r.family(ctx, version, f, link); err != nil {
			r.once("can't repair the IPv%d routes: %v", 4+2*version, err)
		}
	}
	if r.bind {
		// Rebind keeps the connections to relays that still work, so the routes of both versions must be in place first.
		r.bind = false
		system.MagicSock.Get().Rebind()
	}
}

// tailscaleTable is Tailscale's own routing table.
const tailscaleTable = 52

func (r *routing) family(ctx context.Context, version, family int, link netlink.Link) error {
	index, six := link.Attrs().Index, version == 1
	addresses, err := netlink.AddrList(link, family)
	if err != nil {
		return err
	}
	global := false
	for _, a := range addresses {
		global = global || a.Scope == unix.RT_SCOPE_UNIVERSE
	}
	if !global {
		return nil
	}
	if !r.ignored[version] {
		service := net.IPv4(100, 100, 100, 100)
		if six {
			service = net.ParseIP("fd7a:115c:a1e0::53")
		}
		found, err := netlink.RouteGet(service)
		if r.ignored[version] = err != nil || len(found) == 0 || found[0].LinkIndex != index; r.ignored[version] {
			logf("IPv%d packets to the tailnet don't reach %s: adding routes to the main table", 4+2*version, r.tun)
		}
	}
	own, err := netlink.RouteListFiltered(family, &netlink.Route{Table: tailscaleTable}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	main, err := netlink.RouteListFiltered(family, nil, 0)
	if err != nil {
		return err
	}
	prefs, err := r.d.client.GetPrefs(ctx)
	if err != nil {
		return err
	}
	if p, ok := supervisor.Translated(prefs.AdvertiseRoutes); ok && !buildfeatures.HasNetstack {
		r.once("advertising %s has no effect: 4via6 needs an image built with --features=+netstack", p)
	}
	tables := supervisor.Tables{Offered: prefs.AdvertiseRoutes, Control: r.control(ctx, prefs.ControlURL)}
	exit := false
	for _, route := range own {
		if route.Type <= unix.RTN_UNICAST && route.LinkIndex == index {
			p := prefix(route.Dst, six)
			tables.Tailnet = append(tables.Tailnet, p)
			exit = exit || p.Bits() == 0
		}
	}
	var out netlink.Route
	for _, route := range main {
		switch {
		case route.LinkIndex == index:
		case prefix(route.Dst, six).Bits() == 0 && route.Gw != nil:
			out = netlink.Route{LinkIndex: route.LinkIndex, Gw: route.Gw}
		case route.Gw == nil:
			tables.Connected = append(tables.Connected, prefix(route.Dst, six))
		}
	}
	var want []netlink.Route
	tailnet, outside, skipped := tables.Plan(six)
	if r.ignored[version] {
		for _, s := range skipped {
			r.once("not adding the tailnet's route to %s: %s", s.Route, s.Reason)
		}
		if exit && !envknob.Bool(bindToDevice) {
			// Otherwise the daemon's own packets go to the exit node, too: the kernel ignores the rules against it.
			envknob.Setenv(bindToDevice, "true")
			r.bind = true
		}
		for _, p := range tailnet {
			want = append(want, netlink.Route{LinkIndex: index, Dst: network(p)})
		}
		if out.Gw != nil {
			for _, p := range outside {
				want = append(want, netlink.Route{LinkIndex: out.LinkIndex, Gw: out.Gw, Dst: network(p)})
			}
		}
	} else if exit {
		// Networks behind this router are not behind the exit node.
		for _, p := range tables.Behind(six) {
			want = append(want, netlink.Route{Dst: network(p), Table: tailscaleTable, Type: unix.RTN_THROW})
		}
	}
	existing := append(main, own...)
	for _, route := range want {
		if !contains(existing, route, six) {
			if err := netlink.RouteReplace(&route); err != nil {
				return fmt.Errorf("adding %s: %w", route.Dst, err)
			}
		}
	}
	for _, route := range r.added[version] {
		if !contains(want, route, six) && contains(existing, route, six) {
			_ = netlink.RouteDel(&route)
		}
	}
	r.added[version] = want
	return nil
}

// bindToDevice makes the daemon bind its sockets to the interface of the default route.
const bindToDevice = "TS_FORCE_LINUX_BIND_TO_DEVICE"

// contains reports whether a route is in a list.
func contains(all []netlink.Route, route netlink.Route, six bool) bool {
	for _, o := range all {
		if prefix(o.Dst, six) == prefix(route.Dst, six) && o.LinkIndex == route.LinkIndex && (o.Type == unix.RTN_THROW) == (route.Type == unix.RTN_THROW) {
			return o.Table == tailscaleTable == (route.Table == tailscaleTable)
		}
	}
	return false
}

// control returns the addresses of the control server. It resolves them again every ten minutes.
func (r *routing) control(ctx context.Context, server string) []netip.Addr {
	if r.server == server && time.Since(r.resolved) < 10*time.Minute {
		return r.addresses
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", strings.Trim(u.Hostname(), "[]"))
	if err != nil {
		return r.addresses
	}
	r.server, r.resolved, r.addresses = server, time.Now(), nil
	for _, a := range found {
		r.addresses = append(r.addresses, a.Unmap())
	}
	return r.addresses
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefix returns the network of a route. nil is the default route.
func prefix(n *net.IPNet, six bool) netip.Prefix {
	if n != nil {
		a, _ := netip.AddrFromSlice(n.IP)
		ones, _ := n.Mask.Size()
		return netip.PrefixFrom(a.Unmap(), ones)
	}
	if six {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
