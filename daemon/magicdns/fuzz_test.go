package magicdns

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever packets arrive, the packets that are sent are well-formed, go to the sender, and stay within the limits.
func FuzzPackets(f *testing.F) {
	for _, w := range ways {
		f.Add(datagram(w, 53, []byte("?")), datagram(w, 54, []byte("?")), ping(w, []byte("12345678")), uint16(1))
		f.Add(ip(w.client.Addr(), w.service, protocolTCP, make([]byte, 20)), ip(w.client.Addr(), w.service, 132, nil), []byte{}, uint16(0))
		for _, flags := range []byte{flagSYN, flagACK, flagACK | flagFIN, flagRST} {
			part := append(make([]byte, 20), framed("?")...)
			part[0], part[3], part[12], part[13], part[14] = 1, 53, 5<<4, flags, 8
			sealed(w, part)
			f.Add(ip(w.client.Addr(), w.service, protocolTCP, part), part, part, uint16(40))
		}
	}
	f.Fuzz(func(t *testing.T, one, two, three []byte, seconds uint16) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(echo)
			for _, data := range [][]byte{one, two, three} {
				// The fuzzed bytes are used as a packet, and as the part of a packet with correct checksums.
				packets := [][]byte{data}
				for _, w := range ways {
					if len(data) >= 20 && len(data) < mtu {
						part := append([]byte{}, data...)
						part[2], part[3] = 0, 53
						packets = append(packets, ip(w.client.Addr(), w.service, protocolTCP, sealed(w, part)), datagram(w, 53, data), ping(w, data))
					}
				}
				for _, packet := range packets {
					n.Handle(packet)
					synctest.Wait()
					from, ok := parse(packet)
					sent := n.sent()
					if len(sent) > 2+maxUnacknowledged || !ok && len(sent) > 0 {
						t.Fatalf("%d packets in answer to % x", len(sent), packet)
					}
					for _, p := range receive(t, way{netip.AddrPortFrom(from.from, 0), from.to}, sent) {
						if len(p.payload) < 8 {
							t.Errorf("sent % x", p.payload)
						}
					}
				}
			}
			time.Sleep(time.Duration(seconds) * time.Second)
			if got := n.count(); got > maxConnections {
				t.Errorf("%d connections", got)
			}
			// Every connection ends by itself.
			time.Sleep(10 * time.Minute)
			n.forgotten(t)
		})
	})
}
