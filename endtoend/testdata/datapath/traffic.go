package main

import (
	"encoding/binary"

	"github.com/tailscale/wireguard-go/tun"
)

// packetSize is the tailnet's MTU.
const packetSize = 1280

// traffic is what a device receives with each read.
type traffic struct {
	// packet is an IPv4 packet as the kernel hands it over.
	packet []byte
	// options describe how to split it.
	options tun.GSOOptions
	// packets is the number of packets that it is split into.
	packets int
}

const (
	ipHeader  = 20
	tcpHeader = 32 // with timestamps
	udpHeader = 8
)

// bulk is a TCP packet of nearly 64 kB, as of a download: the kernel merges its parts.
func bulk() traffic {
	const (
		segment  = packetSize - ipHeader - tcpHeader
		segments = 65535 / packetSize
	)
	p := ipv4(6, ipHeader+tcpHeader+segments*segment)
	tcp := p[ipHeader:]
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], 443)
	tcp[12] = tcpHeader / 4 << 4
	tcp[13] = 0x10 // ACK
	copy(tcp[20:], []byte{1, 1, 8, 10})
	return traffic{packet: p, packets: segments, options: tun.GSOOptions{
		GSOType: tun.GSOTCPv4, HdrLen: ipHeader + tcpHeader, CsumStart: ipHeader, CsumOffset: 16, GSOSize: segment, NeedsCsum: true,
	}}
}

// single is a UDP packet, as of a call. Linux 5.6 does not merge those.
func single() traffic {
	p := ipv4(17, packetSize)
	udp := p[ipHeader:]
	binary.BigEndian.PutUint16(udp, 40000)
	binary.BigEndian.PutUint16(udp[2:], 443)
	binary.BigEndian.PutUint16(udp[4:], packetSize-ipHeader)
	return traffic{packet: p, packets: 1, options: tun.GSOOptions{GSOType: tun.GSONone}}
}

// ipv4 returns a packet from a host behind the first router to one behind the second.
func ipv4(protocol byte, size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i * 7)
	}
	clear(p[:ipHeader+tcpHeader])
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(size))
	p[6] = 0x40 // don't fragment
	p[8] = 64
	p[9] = protocol
	copy(p[12:], host(1).AsSlice())
	copy(p[16:], host(2).AsSlice())
	return p
}
