package endtoend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// previousRelease is the flag for images that need gVisor: not every Go proxy has the gVisor version of the newest
// Tailscale release.
const previousRelease = "--tailscale-version=" + recipe.PreviousTailscaleVersion

// withGVisor are the flags for an image with gVisor's network stack, which answers MagicDNS and supports userspace
// networking.
var withGVisor = []string{previousRelease, "--features=+netstack,+gro"}

// magicDNS has two routers of one tailnet. Package magicdns answers on the first, gVisor on the second.
type magicDNS struct {
	world         *world
	one, two      site
	first, second *container
}

func newMagicDNS(t testing.TB, first image) magicDNS {
	t.Helper()
	w := newWorld(t)
	w.control.start()
	key := w.control.key(true)
	m := magicDNS{world: w, one: w.site(1), two: w.site(2)}
	start := func(i image, s site, name string) *container {
		return w.router(i, s, name, "TS_AUTHKEY="+key, "TS_ROUTES="+s.routes, "TS_EXTRA_ARGS=--accept-routes")
	}
	m.first, m.second = start(first, m.one, "first"), start(imageWithFeatures(t), m.two, "second")
	m.first.running()
	m.second.running()
	eventually(t, "the routers know each other", func() bool {
		return len(m.first.status().Peer) == 1 && len(m.second.status().Peer) == 1
	})
	return m
}

// services are the ways to send a query.
var services = []struct{ network, address string }{
	{"udp", "100.100.100.100:53"}, {"udp", "[fd7a:115c:a1e0::53]:53"},
	{"tcp", "100.100.100.100:53"}, {"tcp", "[fd7a:115c:a1e0::53]:53"},
}

// dial connects from a namespace.
func (n namespace) dial(network, address string) (conn net.Conn, err error) {
	err = n.within(func() (err error) {
		conn, err = net.DialTimeout(network, address, time.Minute)
		return err
	})
	return conn, err
}

// raw sends a query unchanged. It returns nil if there is no answer.
func raw(from namespace, network, address string, question []byte) ([]byte, error) {
	conn, err := from.dial(network, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	// This is longer than Tailscale waits for other name servers.
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	var answer []byte
	if network == "tcp" {
		if _, err := conn.Write(framed(question)); err != nil {
			return nil, err
		}
		answer, err = readFramed(conn)
	} else {
		if _, err := conn.Write(question); err != nil {
			return nil, err
		}
		buffer := make([]byte, 65535)
		var n int
		n, err = conn.Read(buffer)
		answer = buffer[:n]
	}
	var timeout net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.As(err, &timeout) && timeout.Timeout() {
		return nil, nil
	}
	return answer, err
}

// question returns a DNS query. room is the size of an answer that it accepts, if it names one.
func question(t testing.TB, name string, kind dnsmessage.Type, room int) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4711, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	if room > 0 {
		m.Additionals = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("."), Type: dnsmessage.TypeOPT, Class: dnsmessage.Class(room)}, Body: &dnsmessage.OPTResource{}}}
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// questions returns queries by description.
func (m magicDNS) questions(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	names := []string{"first.tailnet.example.", "SECOND.Tailnet.example.", "second.", "nobody.tailnet.example.", "tailnet.example.", "printer.tailnet.example.",
		"10-0-0-1-via-7.tailnet.example.", "magicdns.localhost-tailscale-daemon.", "host.corp.example.", "six.corp.example.", "nohost.corp.example.", "corp.example.",
		"www.internet.example.", "nothing.internet.example.", "example.", "."}
	for _, address := range append(m.first.status().Self.TailscaleIPs, m.second.status().Self.TailscaleIPs...) {
		names = append(names, reverse(netip.MustParseAddr(address)))
	}
	for _, address := range []string{m.one.lan4, m.one.lan6, "100.127.1.1", "fd7a:115c:a1e0::1234", "100.100.100.100"} {
		names = append(names, reverse(netip.MustParseAddr(address)))
	}
	for _, name := range names {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR, dnsmessage.TypeTXT} {
			all[fmt.Sprint(name, " ", kind)] = question(t, name, kind, 0)
		}
	}
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeALL, dnsmessage.TypeNS, dnsmessage.TypeSOA, dnsmessage.TypeMX, dnsmessage.TypeSRV, 65} {
		all[fmt.Sprint("first.tailnet.example. ", kind)] = question(t, "first.tailnet.example.", kind, 1232)
	}
	for _, room := range []int{0, 512, 1232, 2000, 4096, 65535} {
		all[fmt.Sprint("a long text, room for ", room)] = question(t, "large.corp.example.", dnsmessage.TypeTXT, room)
	}
	good := question(t, "first.tailnet.example.", dnsmessage.TypeA, 1232)
	for length := 0; length < len(good); length += 3 {
		all[fmt.Sprintf("the first %d bytes of a question", length)] = good[:length]
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		garbage := make([]byte, 1<<i)
		for at := range garbage {
			garbage[at] = byte(random.Uint32())
		}
		all[fmt.Sprintf("%d random bytes", len(garbage))] = garbage[:min(len(garbage), 1200)]
		changed := bytes.Clone(good)
		changed[2+random.IntN(len(good)-2)] ^= byte(1 + random.IntN(255))
		all[fmt.Sprintf("a question with one byte changed (%d)", i)] = changed
	}
	for name, change := range map[string]func(b []byte){
		"an answer":      func(b []byte) { b[2] |= 0x80 },
		"another opcode": func(b []byte) { b[2] |= 0x28 },
		"no question":    func(b []byte) { b[5] = 0 },
		"two questions":  func(b []byte) { b[5] = 2 },
		"a name without end": func(b []byte) {
			b[12], b[13] = 0xc0, 12
		},
	} {
		b := bytes.Clone(good)
		change(b)
		all[name] = b
	}
	return all
}

// common returns the part of an answer that must be the same on both routers. Tailscale's answer to a malformed query
// may quote an earlier query.
func common(answer []byte) []byte {
	if len(answer) >= 12 && dnsmessage.RCode(answer[3]&15) == dnsmessage.RCodeFormatError {
		return answer[:4]
	}
	return answer
}

// reverse returns the name for a reverse lookup of an address.
func reverse(a netip.Addr) string {
	if a.Is4() {
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa.", b[3], b[2], b[1], b[0])
	}
	var name strings.Builder
	b := a.As16()
	for i := 15; i >= 0; i-- {
		fmt.Fprintf(&name, "%x.%x.", b[i]&15, b[i]>>4)
	}
	return name.String() + "ip6.arpa."
}

// A host gets the same answers from a router with and without gVisor's network stack.
func TestMagicDNS(t *testing.T) {
	t.Parallel()
	versions := []string{recipe.TailscaleVersion}
	if testmode.IsLong() {
		versions = append(versions, recipe.PreviousTailscaleVersion)
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			testMagicDNS(t, version)
		})
	}
}

func testMagicDNS(t *testing.T, version string) {
	m := newMagicDNS(t, builtImage(t, "amd64", "--tailscale-version="+version))

	t.Run("SameAnswers", func(t *testing.T) {
		all := m.questions(t)
		var answered, silent sync.Map
		// Some queries wait for an answer that doesn't come. With more connections at once, the routers close some.
		slots := make(chan struct{}, 40)
		var wg sync.WaitGroup
		for name, question := range all {
			for _, s := range services {
				slots <- struct{}{}
				wg.Go(func() {
					defer func() { <-slots }()
					what := fmt.Sprintf("%s over %s to %s", name, s.network, s.address)
					var answers [2][]byte
					// The serial number of a zone contains the time.
					for range 5 {
						var both sync.WaitGroup
						for i, host := range []namespace{m.one.host, m.two.host} {
							both.Go(func() {
								answer, err := raw(host, s.network, s.address, question)
								if err != nil {
									t.Errorf("%s: %v", what, err)
								}
								answers[i] = answer
							})
						}
						both.Wait()
						if bytes.Equal(common(answers[0]), common(answers[1])) {
							break
						}
					}
					if !bytes.Equal(common(answers[0]), common(answers[1])) {
						t.Errorf("%s:\nthe answer is\n% x\ngVisor's is\n% x", what, answers[0], answers[1])
					} else if answers[0] == nil {
						silent.Store(what, true)
					} else {
						answered.Store(what, true)
					}
				})
			}
		}
		wg.Wait()
		count := func(m *sync.Map) (n int) {
			m.Range(func(any, any) bool { n++; return true })
			return n
		}
		t.Logf("of %d questions, %d have the same answer, and %d have none from both", len(all)*len(services), count(&answered), count(&silent))
		if count(&answered) < 300 {
			t.Error("too few queries were answered")
		}
	})

	// If an answer is truncated, the resolver of Go's library asks again over TCP.
	t.Run("Resolver", func(t *testing.T) {
		for _, address := range []string{"100.100.100.100:53", "[fd7a:115c:a1e0::53]:53"} {
			over := map[string]int{}
			resolver := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
				over[network]++
				return m.one.host.dial(network, address)
			}}
			texts, err := resolver.LookupTXT(t.Context(), "large.corp.example.")
			if err != nil || len(texts) != 12 || over["udp"] == 0 || over["tcp"] == 0 {
				t.Errorf("%s: %d texts (%v), asked over %v", address, len(texts), err, over)
			}
		}
	})

	t.Run("Ping", func(t *testing.T) {
		for _, address := range []string{"100.100.100.100", "fd7a:115c:a1e0::53"} {
			m.one.host.command("ping", "-c3", "-W5", "-s1000", address)
		}
	})

	t.Run("EverythingElseIsRefused", func(t *testing.T) {
		for _, address := range []string{"100.100.100.100:80", "[fd7a:115c:a1e0::53]:853"} {
			if _, err := m.one.host.dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("TCP to %s: %v", address, err)
			}
		}
		for _, address := range []string{"100.100.100.100:54", "[fd7a:115c:a1e0::53]:5353"} {
			if _, err := raw(m.one.host, "udp", address, []byte("?")); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("UDP to %s: %v", address, err)
			}
		}
	})

	// In a build without gVisor, release 1.102.5 crashes when it answers a ping itself.
	t.Run("EveryKindOfPing", func(t *testing.T) {
		for _, kind := range []string{"", "--tsmp", "--icmp", "--peerapi"} {
			for _, c := range []struct {
				from *container
				to   string
			}{{m.first, "second"}, {m.second, "first"}} {
				eventually(t, c.to+" answers a ping "+kind, func() bool {
					out, _ := c.from.sh("tailscale ping -c 1 --until-direct=false " + kind + " " + c.to)
					return strings.Contains(out, "pong from ") || strings.Contains(out, "hit peerapi of ")
				})
			}
		}
		if m.first.ended() || strings.Contains(m.first.log(), "panic") {
			t.Errorf("the router has exited:\n%s", m.first.log())
		}
	})

	// Many queries at once that nobody answers don't affect the tunnel or the memory.
	t.Run("Flood", func(t *testing.T) {
		eventually(t, "the hosts reach each other", func() bool { return m.one.host.try("ping", "-c1", "-W2", m.two.lan4) })
		before := m.first.memory().unreclaimable
		conn, err := m.one.host.dial("udp", "100.100.100.100:53")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for round := range 20 {
			for i := range 5000 {
				_, _ = conn.Write(question(t, fmt.Sprintf("silent%d.internet.example.", round*5000+i), dnsmessage.TypeA, 1232))
			}
			m.one.host.command("ping", "-c5", "-i0.2", "-W20", m.two.lan4) // one answer is enough
		}
		if grown := m.first.memory().unreclaimable - before; grown > 24<<10 {
			t.Errorf("the flood takes %d kB", grown)
		} else {
			t.Logf("the flood takes %d kB", grown)
		}
		if got, want := lookup(t, m.one.host, "second.tailnet.example"), m.second.status().Self.TailscaleIPs[0]; got != want {
			t.Errorf("afterwards, the second router is %q; want %s", got, want)
		}
	})
}

// BenchmarkMagicDNS measures a query from a LAN host.
func BenchmarkMagicDNS(b *testing.B) {
	m := newMagicDNS(b, builtImage(b, "amd64"))
	ask := question(b, "first.tailnet.example.", dnsmessage.TypeA, 1232)
	for _, s := range services {
		for _, c := range []struct {
			name string
			host namespace
		}{{"image", m.one.host}, {"gVisor", m.two.host}} {
			version := "IPv4"
			if strings.HasPrefix(s.address, "[") {
				version = "IPv6"
			}
			b.Run(fmt.Sprintf("%s-%s-%s", s.network, version, c.name), func(b *testing.B) {
				for b.Loop() {
					if answer, err := raw(c.host, s.network, s.address, ask); err != nil || answer == nil {
						b.Fatal(answer, err)
					}
				}
			})
		}
	}
}
