package magicdns

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

const mtu = 1280

var (
	service4, service6 = netip.MustParseAddr("100.100.100.100"), netip.MustParseAddr("fd7a:115c:a1e0::53")
	client4, client6   = netip.MustParseAddrPort("192.168.88.10:40000"), netip.MustParseAddrPort("[fd88::10]:40000")
)

// way is a client with the service's address for it.
type way struct {
	client  netip.AddrPort
	service netip.Addr
}

var ways = map[string]way{"IPv4": {client4, service4}, "IPv6": {client6, service6}}

// network is the responder's environment. It records packets and log lines.
type network struct {
	*Responder
	mu      sync.Mutex
	packets [][]byte
	log     int
	arrived chan struct{}
}

// newNetwork returns a responder that gets its answers from a function.
func newNetwork(query Query) *network {
	n := &network{arrived: make(chan struct{}, 1)}
	n.Responder = New(mtu, query, func(p []byte) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.packets = append(n.packets, p)
		select {
		case n.arrived <- struct{}{}:
		default:
		}
	}, func(string, ...any) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.log++
	})
	return n
}

// sent returns the packets that the responder has sent since the last call.
func (n *network) sent() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.packets
	n.packets = nil
	return all
}

// wait returns the next packets that the responder sends.
func (n *network) wait() [][]byte {
	for {
		if all := n.sent(); len(all) > 0 {
			return all
		}
		<-n.arrived
	}
}

// echo answers a query with the query itself, after a byte that marks the answer.
func echo(_ context.Context, question []byte, _ string, _ netip.AddrPort) ([]byte, error) {
	return append([]byte{'A'}, question...), nil
}

func refuse(context.Context, []byte, string, netip.AddrPort) ([]byte, error) {
	return nil, errors.New("no answer")
}

// checksum computes the checksum of RFC 1071, in another way than the package.
func checksum(parts ...[]byte) uint16 {
	total := 0
	for i, b := range slices.Concat(parts...) {
		if i%2 == 0 {
			total += int(b) * 256
		} else {
			total += int(b)
		}
	}
	return ^uint16((total-1)%0xffff + 1) // 0xffff stands for 0
}

func pseudoHeader(from, to netip.Addr, protocol byte, length int) []byte {
	h := slices.Concat(from.AsSlice(), to.AsSlice(), []byte{0, 0, 0, protocol})
	return binary.BigEndian.AppendUint32(h, uint32(length))
}

// ip returns an IP packet.
func ip(from, to netip.Addr, protocol byte, payload []byte) []byte {
	if from.Is6() {
		h := []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), protocol, 60}
		return slices.Concat(h, from.AsSlice(), to.AsSlice(), payload)
	}
	length := 20 + len(payload)
	h := slices.Concat([]byte{0x45, 0, byte(length >> 8), byte(length), 1, 2, 0x40, 0, 60, protocol, 0, 0}, from.AsSlice(), to.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

// datagram returns a UDP packet.
func datagram(w way, port uint16, data []byte) []byte {
	return ip(w.client.Addr(), w.service, protocolUDP, udpPart(w, port, data))
}

func udpPart(w way, port uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, w.client.Port())
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(b, byte((8+len(data))>>8), byte(8+len(data)), 0, 0)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[6:], checksum(pseudoHeader(w.client.Addr(), w.service, protocolUDP, len(b)), b))
	return b
}

// received is a packet after the client's kernel has handled it.
type received struct {
	protocol byte
	payload  []byte
}

// receive checks packets to a client like its kernel, reassembles fragments, and returns their content.
func receive(t testing.TB, w way, packets [][]byte) (all []received) {
	t.Helper()
	var gathered []byte
	for _, b := range packets {
		if len(b) > mtu {
			t.Errorf("a packet has %d bytes", len(b))
		}
		var protocol byte
		var payload []byte
		offset, more := 0, false
		if w.service.Is4() {
			if len(b) < 20 || b[0] != 0x45 || int(binary.BigEndian.Uint16(b[2:])) != len(b) || checksum(b[:20]) != 0 || b[8] == 0 {
				t.Fatalf("not an IPv4 packet: % x", b)
			}
			place := binary.BigEndian.Uint16(b[6:])
			offset, more = int(place&0x1fff)*8, place&0x2000 != 0
			protocol, payload = b[9], b[20:]
		} else {
			if len(b) < 40 || b[0]>>4 != 6 || int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 || b[7] == 0 {
				t.Fatalf("not an IPv6 packet: % x", b)
			}
			protocol, payload = b[6], b[40:]
			if protocol == headerFragment {
				place := binary.BigEndian.Uint16(payload[2:])
				offset, more = int(place&^7), place&1 != 0
				protocol, payload = payload[0], payload[8:]
			}
		}
		size := w.service.BitLen() / 8
		if from, to := len(b)-len(payload)-2*size, len(b)-len(payload)-size; offset == 0 && !more && (!slices.Equal(b[from:to], w.service.AsSlice()) || !slices.Equal(b[to:to+size], w.client.Addr().AsSlice())) {
			t.Errorf("from and to are wrong: % x", b)
		}
		if offset != len(gathered) {
			t.Errorf("a fragment belongs to %d; want %d", offset, len(gathered))
		}
		gathered = append(gathered, payload...)
		if more {
			if len(payload)%8 != 0 {
				t.Errorf("a fragment has %d bytes", len(payload))
			}
			continue
		}
		header := pseudoHeader(w.service, w.client.Addr(), protocol, len(gathered))
		if protocol == protocolICMP {
			header = nil
		}
		if got := checksum(header, gathered); got != 0 {
			t.Errorf("a checksum is off by %x", got)
		}
		all = append(all, received{protocol, gathered})
		gathered = nil
	}
	if gathered != nil {
		t.Error("a fragment is missing")
	}
	return all
}

// answer returns the data of the only UDP answer in packets.
func answer(t testing.TB, w way, packets [][]byte) string {
	t.Helper()
	all := receive(t, w, packets)
	if len(all) != 1 || all[0].protocol != protocolUDP {
		t.Fatalf("got %v", all)
	}
	b := all[0].payload
	if binary.BigEndian.Uint16(b) != 53 || binary.BigEndian.Uint16(b[2:]) != w.client.Port() || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		t.Errorf("the UDP header is % x", b[:8])
	}
	return string(b[8:])
}

// sealed adds the checksum to a TCP part.
func sealed(w way, part []byte) []byte {
	part[16], part[17] = 0, 0
	binary.BigEndian.PutUint16(part[16:], checksum(pseudoHeader(w.client.Addr(), w.service, protocolTCP, len(part)), part))
	return part
}
