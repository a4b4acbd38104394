package magicdns

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// The numbers of the protocols in IP headers.
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58

	headerFragment = 44
)

// packet is an IP packet to the service.
type packet struct {
	from, to netip.Addr
	protocol byte
	// whole begins with the IP header, followed by payload.
	whole, payload []byte
}

// parse parses an IP packet. ok is false for fragments, malformed packets, and packets that can't be answered.
func parse(b []byte) (p packet, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	switch b[0] >> 4 {
	case 4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < 20 || total < header || total > len(b) || sum(b[:header], 0) != 0xffff || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return p, false
		}
		p = packet{netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9], b[:total], b[header:total]}
	case 6:
		if len(b) < 40 {
			return p, false
		}
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) || b[6] == headerFragment {
			return p, false
		}
		p = packet{netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6], b[:total], b[40:total]}
	default:
		return p, false
	}
	broadcast := p.from == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	nobody := broadcast || p.from.IsUnspecified() || p.from.IsMulticast() || p.from.IsLoopback() || p.from.Is4In6() || p.from == p.to
	return p, !nobody
}

// intact reports whether the checksum of a packet's UDP, TCP or ICMPv6 part is correct.
func (p packet) intact() bool {
	return sum(p.payload, pseudo(p.from, p.to, p.protocol, len(p.payload))) == 0xffff
}

// sum adds 16-bit words as in all IP checksums. A part that contains the correct checksum results in 0xffff.
func sum(b []byte, begin uint32) uint16 {
	s := begin
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s&0xffff)
}

// pseudo returns the sum of the pseudo-header, which IP checksums also cover.
func pseudo(from, to netip.Addr, protocol byte, length int) uint32 {
	return uint32(sum(from.AsSlice(), uint32(sum(to.AsSlice(), uint32(protocol)+uint32(length)))))
}

// send sends a UDP, TCP or ICMP part with its checksum at an offset, in several fragments if necessary.
func (r *Responder) send(from, to netip.Addr, protocol byte, part []byte, checksum int) {
	begin := uint32(0)
	if protocol != protocolICMP {
		begin = pseudo(from, to, protocol, len(part))
	}
	value := ^sum(part, begin)
	if value == 0 && protocol == protocolUDP {
		value = 0xffff // 0 means no checksum
	}
	binary.BigEndian.PutUint16(part[checksum:], value)

	id := r.id.Add(1)
	header := 20
	if from.Is6() {
		header = 40
	}
	if header+len(part) <= r.mtu {
		r.inject(slices.Concat(ipHeader(from, to, protocol, id, 0, len(part)), part))
		return
	}
	room := (r.mtu - header) &^ 7
	if from.Is6() {
		room -= 8
	}
	for at := 0; at < len(part); at += room {
		piece := part[at:min(at+room, len(part))]
		more := at+len(piece) < len(part)
		if from.Is4() {
			place := uint16(at / 8)
			if more {
				place |= 0x2000
			}
			r.inject(slices.Concat(ipHeader(from, to, protocol, id, place, len(piece)), piece))
			continue
		}
		place := uint16(at)
		if more {
			place |= 1
		}
		fragment := []byte{0: protocol, 7: 0}
		binary.BigEndian.PutUint16(fragment[2:], place)
		binary.BigEndian.PutUint32(fragment[4:], id)
		r.inject(slices.Concat(ipHeader(from, to, headerFragment, id, 0, len(fragment)+len(piece)), fragment, piece))
	}
}

// ipHeader returns the IP header for a payload. Only IPv4 headers have the identification and the place of a fragment.
func ipHeader(from, to netip.Addr, protocol byte, id uint32, place uint16, length int) []byte {
	const hops = 64
	if from.Is6() {
		h := []byte{0: 6 << 4, 6: protocol, 7: hops}
		binary.BigEndian.PutUint16(h[4:], uint16(length))
		return append(append(h, from.AsSlice()...), to.AsSlice()...)
	}
	h := []byte{0: 4<<4 | 5, 8: hops, 9: protocol, 11: 0}
	binary.BigEndian.PutUint16(h[2:], uint16(20+length))
	binary.BigEndian.PutUint16(h[4:], uint16(id))
	binary.BigEndian.PutUint16(h[6:], place)
	h = append(append(h, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], ^sum(h, 0))
	return h
}
