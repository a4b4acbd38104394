//go:build ts_omit_netstack && !ts_omit_dns

// This file is added to Tailscale's cmd/tailscaled, with package magicdns. Without gVisor's network stack, nothing
// else answers queries to MagicDNS's addresses.

package main

import (
	"time"

	"tailscale.com/cmd/tailscaled/magicdns"
	"tailscale.com/net/packet"
	"tailscale.com/net/tsaddr"
	"tailscale.com/net/tstun"
	"tailscale.com/tsd"
	"tailscale.com/types/logger"
	"tailscale.com/wgengine/filter"
)

func init() { hookNewNetstack.Set(answerMagicDNS) }

// answerMagicDNS takes the place of the function that creates a network stack. It creates none.
func answerMagicDNS(logf logger.Logf, sys *tsd.System, _ bool) (tsd.NetstackImpl, error) {
	tun := sys.Tun.Get()
	responder := magicdns.New(int(tstun.DefaultTUNMTU()), sys.DNSManager.Get().Query,
		func(packet []byte) { _ = tun.InjectInboundCopy(packet) },
		logger.RateLimitedFn(logf, time.Minute, 5, 10))
	four, six := tsaddr.TailscaleServiceIP(), tsaddr.TailscaleServiceIPv6()
	next := tun.PreFilterPacketOutboundToWireGuardEngineIntercept
	tun.PreFilterPacketOutboundToWireGuardEngineIntercept = func(p *packet.Parsed, t *tstun.Wrapper) filter.Response {
		if to := p.Dst.Addr(); to == four || to == six {
			responder.Handle(p.Buffer())
			return filter.DropSilently
		}
		if next != nil {
			return next(p, t)
		}
		return filter.Accept
	}
	return nil, nil
}
