package magicdns

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestAQuestionIsAnswered(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			var from netip.AddrPort
			var network string
			n := newNetwork(func(_ context.Context, question []byte, over string, who netip.AddrPort) ([]byte, error) {
				from, network = who, over
				return append([]byte("answer to "), question...), nil
			})
			packet := datagram(w, 53, []byte("a question"))
			n.Handle(packet)
			clear(packet) // it belongs to the caller
			if got := answer(t, w, n.wait()); got != "answer to a question" {
				t.Errorf("the answer is %q", got)
			}
			if from != w.client || network != "udp" {
				t.Errorf("%s asked over %s", from, network)
			}
		})
	}
}

// The resolver decides whether an answer is truncated. A whole answer arrives whole.
func TestALongAnswerComesInFragments(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 1231, 1232, 1233, 1252, 1253, 4095, 65000} {
				long := bytes.Repeat([]byte{0xff, 0xfe, 1}, size)[:size]
				n := newNetwork(func(context.Context, []byte, string, netip.AddrPort) ([]byte, error) { return long, nil })
				synctest.Test(t, func(t *testing.T) {
					n.Handle(datagram(w, 53, []byte("?")))
					synctest.Wait()
				})
				if got := answer(t, w, n.sent()); got != string(long) {
					t.Errorf("%d bytes arrive as %d", size, len(got))
				}
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	for name, query := range map[string]Query{
		"an error": refuse,
		"nothing":  func(context.Context, []byte, string, netip.AddrPort) ([]byte, error) { return nil, nil },
		"too much": func(context.Context, []byte, string, netip.AddrPort) ([]byte, error) { return make([]byte, 65530), nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(query)
			n.Handle(datagram(ways["IPv4"], 53, []byte("?")))
			synctest.Wait()
			if got := n.sent(); len(got) != 0 {
				t.Errorf("%s: sent % x", name, got)
			}
			if want := map[string]int{"an error": 1}[name]; n.log != want {
				t.Errorf("%s: the log has %d lines; want %d", name, n.log, want)
			}
		})
	}
}

// Over IPv4, the checksum of UDP is optional.
func TestADatagramWithoutAChecksum(t *testing.T) {
	n := newNetwork(echo)
	packet := datagram(ways["IPv4"], 53, []byte("?"))
	packet[26], packet[27] = 0, 0
	n.Handle(packet)
	if got := answer(t, ways["IPv4"], n.wait()); got != "A?" {
		t.Errorf("the answer is %q", got)
	}
}

func TestPing(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(refuse)
			n.Handle(ping(w, []byte("0123456789")))
			all := receive(t, w, n.sent())
			if len(all) != 1 {
				t.Fatalf("got %v", all)
			}
			kind := map[byte]byte{protocolICMP: 0, protocolICMPv6: 129}[all[0].protocol]
			if got := all[0].payload; got[0] != kind || string(got[4:]) != "\x12\x34\x00\x010123456789" {
				t.Errorf("the reply is % x", got)
			}
		})
	}
}

func ping(w way, data []byte) []byte {
	protocol, kind, header := byte(protocolICMP), byte(8), []byte(nil)
	part := append([]byte{0, 0, 0, 0, 0x12, 0x34, 0, 1}, data...)
	if w.service.Is6() {
		protocol, kind, header = protocolICMPv6, 128, pseudoHeader(w.client.Addr(), w.service, protocolICMPv6, len(part))
	}
	part[0] = kind
	binary.BigEndian.PutUint16(part[2:], checksum(header, part))
	return ip(w.client.Addr(), w.service, protocol, part)
}

func TestEverythingElseIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		way      string
		packet   []byte
		protocol byte
		want     string // the beginning of the answer, or its flags
	}{
		"UDP":            {"IPv4", datagram(ways["IPv4"], 5353, []byte("?")), protocolICMP, "\x03\x03"},
		"UDP over IPv6":  {"IPv6", datagram(ways["IPv6"], 5353, []byte("?")), protocolICMPv6, "\x01\x04"},
		"a long one":     {"IPv4", datagram(ways["IPv4"], 5353, make([]byte, 1200)), protocolICMP, "\x03\x03"},
		"SCTP":           {"IPv4", ip(client4.Addr(), service4, 132, []byte("12345678")), protocolICMP, "\x03\x02"},
		"SCTP over IPv6": {"IPv6", ip(client6.Addr(), service6, 132, []byte("12345678")), protocolICMPv6, "\x01\x01"},
	} {
		n := newNetwork(echo)
		n.Handle(c.packet)
		all := receive(t, ways[c.way], n.sent())
		if len(all) != 1 || all[0].protocol != c.protocol || !strings.HasPrefix(string(all[0].payload), c.want) {
			t.Errorf("%s: got %v", name, all)
			continue
		}
		if quoted := all[0].payload[8:]; !bytes.HasPrefix(c.packet, quoted) || len(quoted) < 28 {
			t.Errorf("%s: the answer does not quote the packet", name)
		}
	}
}

func TestDroppedPackets(t *testing.T) {
	four, six := ways["IPv4"], ways["IPv6"]
	changed := func(packet []byte, change func(b []byte)) []byte {
		packet = slices.Clone(packet)
		change(packet)
		if packet[0]>>4 == 4 && len(packet) >= 20 { // the header's checksum is right all the same
			packet[10], packet[11] = 0, 0
			binary.BigEndian.PutUint16(packet[10:], checksum(packet[:20]))
		}
		return packet
	}
	good4, good6 := datagram(four, 53, []byte("?")), datagram(six, 53, []byte("?"))
	from := func(w way, address string) []byte {
		w.client = netip.AddrPortFrom(netip.MustParseAddr(address), 40000)
		return datagram(w, 53, []byte("?"))
	}
	portZero := four
	portZero.client = netip.AddrPortFrom(four.client.Addr(), 0)
	for name, packet := range map[string][]byte{
		"nothing":                     {},
		"a beginning":                 good4[:19],
		"an IPv6 beginning":           good6[:39],
		"another version of IP":       changed(good4, func(b []byte) { b[0] = 0x55 }),
		"a short header":              changed(good4, func(b []byte) { b[0] = 0x44 }),
		"a header longer than all":    changed(good4, func(b []byte) { b[0], b[3] = 0x4f, 20 }),
		"a length beyond the end":     changed(good4, func(b []byte) { b[3]++ }),
		"an IPv6 length beyond it":    changed(good6, func(b []byte) { b[5]++ }),
		"a wrong header checksum":     append(slices.Concat(good4[:10], []byte{1, 2}), good4[12:]...),
		"a first fragment":            changed(good4, func(b []byte) { b[6] = 0x20 }),
		"a last fragment":             changed(good4, func(b []byte) { b[6], b[7] = 0, 1 }),
		"an IPv6 fragment":            changed(good6, func(b []byte) { b[6] = headerFragment }),
		"a wrong UDP checksum":        changed(good4, func(b []byte) { b[27]++ }),
		"no UDP checksum over IPv6":   changed(good6, func(b []byte) { b[46], b[47] = 0, 0 }),
		"a short UDP part":            ip(client4.Addr(), service4, protocolUDP, udpPart(four, 53, nil)[:7]),
		"a UDP length of 0":           changed(good4, func(b []byte) { b[24], b[25] = 0, 0 }),
		"a UDP length beyond the end": changed(good4, func(b []byte) { b[25]++ }),
		"a long question":             datagram(four, 53, make([]byte, maxQueryLength+1)),
		"from port 0":                 datagram(portZero, 53, []byte("?")),
		"from nobody":                 from(four, "0.0.0.0"),
		"from everybody":              from(four, "255.255.255.255"),
		"from a group":                from(four, "224.0.0.1"),
		"from the loopback":           from(four, "127.0.0.1"),
		"from itself":                 from(four, "100.100.100.100"),
		"from nobody in IPv6":         from(six, "::"),
		"from a group in IPv6":        from(six, "ff02::1"),
		"a ping that is damaged":      append(ping(four, []byte("12"))[:28], "34"...),
		"a ping's reply":              ip(client4.Addr(), service4, protocolICMP, []byte{0, 0, 0xff, 0xff, 0, 0, 0, 0}),
		"a short ping":                ip(client4.Addr(), service4, protocolICMP, []byte{8, 0, 0xf7, 0xff}),
		"a short TCP part":            ip(client4.Addr(), service4, protocolTCP, make([]byte, 19)),
		"a TCP part of zeros":         ip(client4.Addr(), service4, protocolTCP, make([]byte, 20)),
	} {
		n := newNetwork(echo)
		synctest.Test(t, func(t *testing.T) {
			n.Handle(packet)
			synctest.Wait()
		})
		if got := n.sent(); len(got) != 0 {
			t.Errorf("%s: answered with % x", name, got)
		}
	}
}

// A flood of queries takes no more memory than the limits allow, and none of the caller's time. Afterwards queries
// are answered again.
func TestAFloodOfQuestions(t *testing.T) {
	release := make(chan struct{})
	var asking, most, asked atomic.Int64
	n := newNetwork(func(context.Context, []byte, string, netip.AddrPort) ([]byte, error) {
		asked.Add(1)
		now := asking.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		<-release
		asking.Add(-1)
		return make([]byte, 4095), nil
	})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	flood := [][]byte{datagram(ways["IPv4"], 53, make([]byte, 1200)), datagram(ways["IPv6"], 53, make([]byte, 1200)),
		datagram(ways["IPv4"], 54, make([]byte, 1200)), ping(ways["IPv6"], make([]byte, 1200))}
	before := heap()
	for range 100_000 {
		for _, packet := range flood {
			n.Handle(packet)
		}
		n.sent()
	}
	if grown := int64(heap() - before); grown > 4<<20 {
		t.Errorf("memory grows by %d bytes", grown)
	}
	close(release)
	for asked.Load() < maxQueries || asking.Load() > 0 {
		n.sent()
		runtime.Gosched()
	}
	if most.Load() != maxQueries {
		t.Errorf("%d questions at once; want %d", most.Load(), maxQueries)
	}
	for {
		n.Handle(datagram(ways["IPv4"], 53, []byte("?")))
		if asked.Load() > maxQueries {
			return
		}
		runtime.Gosched()
	}
}
