package main

import (
	"fmt"
	"log"
	"net/netip"

	"go4.org/netipx"

	"tailscale.com/net/dns"
	"tailscale.com/net/netns"
	"tailscale.com/net/packet"
	"tailscale.com/net/routemanager"
	"tailscale.com/tailcfg"
	"tailscale.com/tsd"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine"
	"tailscale.com/wgengine/filter"
	wgrouter "tailscale.com/wgengine/router"
	"tailscale.com/wgengine/wgcfg"
)

// router is a subnet router, of which only the kernel and the control server are missing.
type router struct {
	number int
	key    key.NodePrivate
	device *tunDevice
	engine wgengine.Engine
	sys    *tsd.System
}

// address is a router's address in the tailnet, network the network behind it, and host an address there.
func address(router int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("100.64.0.%d/32", router))
}
func network(router int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", router))
}
func host(router int) netip.Addr { return network(router).Addr().Next() }

// filterOf returns the filter of a router whose tailnet has a few rules.
func filterOf(number int) *filter.Filter {
	rules := must1(filter.MatchesFromFilterRules([]tailcfg.FilterRule{
		{SrcIPs: []string{"100.64.0.3"}, DstPorts: ports("192.168.0.0/16", 22, 22)},
		{SrcIPs: []string{"100.64.0.3", "100.64.0.4"}, DstPorts: ports("192.168.2.10", 80, 80)},
		{SrcIPs: []string{"100.64.0.0/10", "192.168.0.0/16"}, DstPorts: ports("192.168.0.0/16", 0, 65535)},
	}))
	var local netipx.IPSetBuilder
	local.AddPrefix(address(number))
	local.AddPrefix(network(number))
	nets := must1(local.IPSet())
	return filter.New(rules, nil, nets, nets, nil, logger.Discard)
}

func ports(to string, first, last uint16) []tailcfg.NetPortRange {
	return []tailcfg.NetPortRange{{IP: to, Ports: tailcfg.PortRange{First: first, Last: last}}}
}

// filterPackets runs the filters of the sending and of the receiving router, for TCP and UDP in turn.
func filterPackets(packets int) {
	out, in := filterOf(1), filterOf(2)
	const flags = filter.LogAccepts | filter.LogDrops
	kinds := [][]byte{bulk().packet[:packetSize], single().packet}
	// The length of the large packet is that of its parts here.
	copy(kinds[0][2:4], kinds[1][2:4])
	var p packet.Parsed
	measure(func() {
		for i := range packets {
			p.Decode(kinds[i%2])
			if response, _ := out.RunOut(&p, flags); response != filter.Accept {
				log.Fatal("sending: ", response)
			}
			if response := in.RunIn(&p, flags); response != filter.Accept {
				log.Fatal("receiving: ", response)
			}
		}
	})
}

func newRouter(t traffic, number int) *router {
	// Otherwise, sockets are bound to the interface with the default route.
	netns.SetEnabled(false)
	r := &router{number: number, key: key.NewNode(), device: newDevice(t), sys: tsd.NewSystem()}
	r.engine = must1(wgengine.NewUserspaceEngine(logger.Discard, wgengine.Config{
		Tun: r.device, SetSubsystem: r.sys.Set, HealthTracker: r.sys.HealthTracker.Get(), Metrics: r.sys.UserMetricsRegistry(),
		EventBus: r.sys.Bus.Get(), ControlKnobs: r.sys.ControlKnobs(),
	}))
	r.engine.SetFilter(filterOf(number))
	r.sys.Tun.Get().Start()
	must(r.engine.Reconfig(&wgcfg.Config{PrivateKey: r.key, Addresses: []netip.Prefix{address(number)}}, &wgrouter.Config{}, &dns.Config{}))
	r.sys.MagicSock.Get().SetNetworkUp(true)
	return r
}

// node returns what the control server tells others about a router.
func (r *router) node() tailcfg.NodeView {
	socket := r.sys.MagicSock.Get()
	addresses := []netip.Prefix{address(r.number)}
	return (&tailcfg.Node{
		ID: tailcfg.NodeID(r.number), Name: fmt.Sprintf("router%d.example.", r.number), Key: r.key.Public(), DiscoKey: socket.DiscoPublicKey(),
		Addresses: addresses, AllowedIPs: append(addresses, network(r.number)),
		Endpoints: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), socket.LocalPort())},
	}).View()
}

// meet tells a router about its only peer.
func (r *router) meet(peer *router) {
	node := peer.node()
	routes := routemanager.New(nil)
	change := routes.Begin()
	change.SetPrefs(routemanager.Prefs{RouteAll: true})
	change.UpsertPeer(node)
	change.Commit()
	r.engine.SetPeerByIPPacketFunc(func(to netip.Addr) (key.NodePublic, bool) {
		if route, ok := routes.Outbound().Lookup(to); ok {
			return route.Key, true
		}
		return key.NodePublic{}, false
	})
	r.engine.SetPeerConfigFunc(func(k key.NodePublic) (wgcfg.PeerConfig, bool) {
		return wgcfg.PeerConfig{AllowedIPs: node.AllowedIPs().AsSlice()}, k == node.Key()
	})
	socket := r.sys.MagicSock.Get()
	socket.SetNetworkMap(r.node(), []tailcfg.NodeView{node})
}
