// Package magicdns answers DNS queries to the addresses of Tailscale's MagicDNS without a network stack, as far as
// resolvers need it. It reads the IP packets that the kernel sends to these addresses, and writes the packets of the
// answers. The answers themselves come from a function.
//
// It serves UDP and TCP on port 53, answers pings, and refuses everything else. It drops fragments and damaged
// packets. Constants limit the resources that a flood of packets can use.
//
// The build adds this package to Tailscale's source, so it only uses the standard library.
package magicdns

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxQueries is how many queries may run at once, the same as in Tailscale. Further queries are dropped.
	maxQueries = 256
	// maxQueryLength is the length of the longest query, the same as in Tailscale's TCP server.
	maxQueryLength = 4096
	// maxConnections is how many TCP connections may exist. Another one ends the connection that has been idle for longest.
	maxConnections = 64
	// idle is how long a TCP connection stays open without a packet, the same as in Tailscale's server.
	idle = 45 * time.Second

	port = 53
)

// errBusy is the error for dropped queries.
var errBusy = errors.New("too many queries at once")

// Query answers a query that came from an address over "udp" or "tcp".
type Query func(ctx context.Context, question []byte, network string, from netip.AddrPort) (answer []byte, err error)

// Responder answers packets.
type Responder struct {
	mtu    int
	query  Query
	inject func(packet []byte)
	logf   func(format string, args ...any)

	id    atomic.Uint32
	slots chan struct{}

	mu          sync.Mutex
	connections map[endpoint]*connection
}

// New returns a responder. Its packets are at most mtu bytes long, which must be at least 576. It passes them to
// inject, which may keep them and must not call the responder. Queries without an answer are logged.
func New(mtu int, query Query, inject func(packet []byte), logf func(format string, args ...any)) *Responder {
	return &Responder{mtu: mtu, query: query, inject: inject, logf: logf,
		slots: make(chan struct{}, maxQueries), connections: map[endpoint]*connection{}}
}

// Handle handles a packet to the service, starting with its IP header. It neither waits for answers nor keeps whole.
func (r *Responder) Handle(whole []byte) {
	p, ok := parse(whole)
	if !ok {
		return
	}
	switch {
	case p.protocol == protocolUDP:
		r.udp(p)
	case p.protocol == protocolTCP:
		r.tcp(p)
	case p.protocol == protocolICMP && p.from.Is4(), p.protocol == protocolICMPv6 && p.from.Is6():
		r.icmp(p)
	default:
		r.refuse(p, 2, 1)
	}
}

// ask runs a query in the background and calls done with the answer, or with nil if there is none. It returns an
// error if too many queries are running.
func (r *Responder) ask(ctx context.Context, question []byte, network string, from netip.AddrPort, done func(answer []byte)) error {
	select {
	case r.slots <- struct{}{}:
	default:
		r.logf("dns %s query: %v", network, errBusy)
		return errBusy
	}
	question = slices.Clone(question) // it is part of the packet
	go func() {
		defer func() { <-r.slots }()
		answer, err := r.query(ctx, question, network, from)
		if err != nil {
			r.logf("dns %s query: %v", network, err)
			answer = nil
		}
		done(answer)
	}()
	return nil
}

func (r *Responder) udp(p packet) {
	const header = 8
	if len(p.payload) < header {
		return
	}
	length := int(binary.BigEndian.Uint16(p.payload[4:]))
	if length < header || length > len(p.payload) {
		return
	}
	p.payload = p.payload[:length]
	// Over IPv4, a checksum of 0 means no checksum.
	if none := binary.BigEndian.Uint16(p.payload[6:]) == 0; none && p.from.Is6() || !none && !p.intact() {
		return
	}
	from := netip.AddrPortFrom(p.from, binary.BigEndian.Uint16(p.payload))
	switch {
	case from.Port() == 0 || length > header+maxQueryLength:
		return
	case binary.BigEndian.Uint16(p.payload[2:]) != port:
		r.refuse(p, 3, 4)
		return
	}
	service := p.to
	_ = r.ask(context.Background(), p.payload[header:], "udp", from, func(answer []byte) {
		length := header + len(answer)
		if len(answer) == 0 || 20+length > 0xffff {
			return
		}
		part := make([]byte, header, length)
		binary.BigEndian.PutUint16(part, port)
		binary.BigEndian.PutUint16(part[2:], from.Port())
		binary.BigEndian.PutUint16(part[4:], uint16(length))
		r.send(service, from.Addr(), protocolUDP, append(part, answer...), 6)
	})
}

// icmp answers pings.
func (r *Responder) icmp(p packet) {
	request, reply, begin := byte(8), byte(0), uint32(0)
	if p.from.Is6() {
		request, reply, begin = 128, 129, pseudo(p.from, p.to, p.protocol, len(p.payload))
	}
	if len(p.payload) < 8 || p.payload[0] != request || p.payload[1] != 0 || sum(p.payload, begin) != 0xffff {
		return
	}
	part := slices.Clone(p.payload)
	part[0], part[2], part[3] = reply, 0, 0
	r.send(p.to, p.from, p.protocol, part, 2)
}

// refuse sends "destination unreachable" with the code for ICMP or ICMPv6.
func (r *Responder) refuse(p packet, code, code6 byte) {
	protocol, kind := byte(protocolICMP), byte(3)
	if p.from.Is6() {
		protocol, kind, code = protocolICMPv6, 1, code6
	}
	// Quote as much of the packet as fits into a packet that everyone accepts.
	quoted := p.whole[:min(len(p.whole), 500)]
	r.send(p.to, p.from, protocol, append([]byte{0: kind, 1: code, 7: 0}, quoted...), 2)
}
