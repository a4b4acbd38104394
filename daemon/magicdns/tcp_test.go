package magicdns

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// client is the other end of a TCP connection. It acknowledges what it receives, as far as its window is open.
type client struct {
	t *testing.T
	n *network
	way
	seq, ack, acked uint32
	window          int
	// lose reports whether a segment is lost.
	lose func() bool
	// got is the data from the service, ended is true after its end, and reset after a reset.
	got          []byte
	ended, reset bool
	largest, mss int
}

func newClient(t *testing.T, n *network, w way) *client {
	return &client{t: t, n: n, way: w, seq: 0xffffff00, window: 65535, lose: func() bool { return false }} // it wraps around soon
}

// dial opens the connection.
func dial(t *testing.T, n *network, w way) *client {
	c := newClient(t, n, w)
	c.open()
	return c
}

func (c *client) open() {
	c.t.Helper()
	c.send(flagSYN, c.seq, "", 2, 4, 4, 0) // takes segments of 1024 bytes
	c.seq++
	c.take()
	if c.acked != c.seq {
		c.t.Fatal("the connection does not open")
	}
}

// send sends a segment.
func (c *client) send(flags byte, seq uint32, data string, options ...byte) {
	if c.lose() {
		return
	}
	b := binary.BigEndian.AppendUint16(nil, c.client.Port())
	b = binary.BigEndian.AppendUint16(b, 53)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, c.ack)
	b = append(b, byte((20+len(options))/4<<4), flags, byte(c.window>>8), byte(c.window), 0, 0, 0, 0)
	b = append(append(b, options...), data...)
	c.n.Handle(ip(c.client.Addr(), c.service, protocolTCP, sealed(c.way, b)))
}

// say sends data and receives the answer.
func (c *client) say(data string) {
	c.send(flagACK|flagPSH, c.seq, data)
	c.seq += uint32(len(data))
	c.take()
}

// end sends the end.
func (c *client) end() {
	c.send(flagACK|flagFIN, c.seq, "")
	c.seq++
	c.take()
}

// take receives everything that the service sends.
func (c *client) take() {
	c.t.Helper()
	for {
		synctest.Wait()
		all := receive(c.t, c.way, c.n.sent())
		for _, p := range all {
			if p.protocol != protocolTCP {
				c.t.Fatalf("got protocol %d", p.protocol)
			}
			if !c.lose() {
				c.segment(p.payload)
			}
		}
		if len(all) == 0 {
			return
		}
	}
}

func (c *client) segment(b []byte) {
	c.t.Helper()
	header := int(b[12]>>4) * 4
	seq, ack, flags, data := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13], b[header:]
	switch {
	case flags&flagRST != 0:
		c.reset = true
		return
	case flags&flagSYN != 0:
		c.mss = int(binary.BigEndian.Uint16(b[22:]))
		c.ack, c.acked = seq+1, ack
		c.send(flagACK, c.seq, "")
		return
	}
	if int32(ack-c.acked) > 0 {
		c.acked = ack
	}
	c.largest = max(c.largest, len(data))
	end := flags&flagFIN != 0
	if len(data) == 0 && !end {
		return
	}
	if seq == c.ack && !c.ended {
		c.got = append(c.got, data...)
		c.ack += uint32(len(data))
		if end {
			c.ack++
			c.ended = true
		}
	}
	c.send(flagACK, c.seq, "")
}

// framed returns a message in the form that is sent over TCP.
func framed(text string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(text)))) + text
}

func (c *client) wants(got string) {
	c.t.Helper()
	if string(c.got) != got {
		c.t.Errorf("the client got %d bytes, %.100q; want %d, %.100q", len(c.got), c.got, len(got), got)
	}
	c.got = nil
}

// count returns how many connections there are.
func (n *network) count() int {
	n.Responder.mu.Lock()
	defer n.Responder.mu.Unlock()
	return len(n.connections)
}

// forgotten checks that no connection is left.
func (n *network) forgotten(t *testing.T) {
	t.Helper()
	if got := n.count(); got != 0 {
		t.Errorf("%d connections are left", got)
	}
}

func TestQuestionsOverTCP(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(echo)
				c := dial(t, n, w)
				if want := map[string]int{"IPv4": 1240, "IPv6": 1220}[name]; c.mss != want {
					t.Errorf("the service takes segments of %d bytes; want %d", c.mss, want)
				}
				c.say(framed("one"))
				c.wants(framed("Aone"))
				for _, part := range strings.Split(framed("two"), "") {
					c.say(part)
				}
				c.wants(framed("Atwo"))
				c.say(framed("three") + framed("") + framed("four")[:3])
				c.say(framed("four")[3:])
				c.wants(framed("Athree") + framed("A") + framed("Afour"))
				long := strings.Repeat("x", maxQueryLength)
				c.say(framed(long)[:1000])
				c.say(framed(long)[1000:])
				c.wants(framed("A" + long))
				if c.largest != 1024 {
					t.Errorf("the client gets segments of up to %d bytes; want 1024", c.largest)
				}
				c.end()
				if !c.ended || c.reset {
					t.Errorf("ended %t, reset %t", c.ended, c.reset)
				}
				n.forgotten(t)
			})
		})
	}
}

// A client that sends a query and ends at once gets its answer.
func TestAQueryFollowedByTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(echo)
		c := dial(t, n, ways["IPv4"])
		c.send(flagACK|flagFIN, c.seq, framed("?"))
		c.seq += 4
		c.take()
		c.wants(framed("A?"))
		if !c.ended {
			t.Error("the connection is still open")
		}
		n.forgotten(t)
	})
}

func TestTheLongestAnswerOverTCP(t *testing.T) {
	long := string(bytes.Repeat([]byte{1, 2, 3}, 65535/3))
	for name, prepare := range map[string]func(c *client){
		"as it comes":         func(*client) {},
		"in a small window":   func(c *client) { c.window = 100 },
		"in a window of some": func(c *client) { c.window = 1500 },
		"with losses": func(c *client) {
			random := rand.New(rand.NewPCG(1, 2))
			c.lose = func() bool { return random.IntN(10) < 1 }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(func(context.Context, []byte, string, netip.AddrPort) ([]byte, error) { return []byte(long), nil })
				c := dial(t, n, ways["IPv6"])
				prepare(c)
				for tries := 0; c.acked != c.seq+3; tries++ {
					if tries == 100 {
						t.Fatal("the question does not arrive")
					}
					c.send(flagACK, c.seq, framed("?"))
					c.take()
				}
				c.seq += 3
				for silent := 0; len(c.got) < 2+len(long) && silent < 60; silent++ {
					before := len(c.got)
					time.Sleep(time.Second)
					c.take()
					if len(c.got) > before {
						silent = 0
					}
				}
				c.wants(framed(long))
			})
		})
	}
}

// A client whose window is closed is asked from time to time whether it is open again.
func TestAClosedWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(echo)
		c := dial(t, n, ways["IPv4"])
		c.window = 0
		c.lose = func() bool { return len(c.got) > 0 } // and does not even acknowledge
		c.say(framed("?"))
		c.wants("")
		c.window, c.lose = 65535, func() bool { return false }
		time.Sleep(3 * time.Second)
		c.take()
		c.wants(framed("A?"))
	})
}

// Old segments, future segments and other clients' segments don't disturb a connection.
func TestStraySegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(echo)
		c := dial(t, n, ways["IPv4"])
		for _, seq := range []uint32{c.seq + 1, c.seq + 100000, c.seq - 1, c.seq - 100000} {
			c.send(flagACK, seq, "")
			c.send(flagACK|flagPSH, seq, "s")
			c.send(flagACK|flagFIN, seq, "")
			c.send(flagRST, seq, "")
			c.send(flagSYN, seq, "")
		}
		c.send(0, c.seq, "without an acknowledgement")
		c.ack += 1000
		c.send(flagACK, c.seq, framed("acknowledges what nobody sent"))
		c.ack -= 1000
		c.take()
		if c.ended || c.reset {
			t.Fatalf("ended %t, reset %t", c.ended, c.reset)
		}
		c.say(framed("?"))
		c.send(flagACK, c.seq-3, framed("?")) // again
		c.send(flagACK, c.seq-3, framed("?")+framed("!"))
		c.seq += 3
		c.take()
		c.wants(framed("A?") + framed("A!"))
		c.end()
		n.forgotten(t)
	})
}

func TestAConnectionThatIsOpenedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(echo)
		c := newClient(t, n, ways["IPv4"])
		c.lose = func() bool { return n.count() > 0 } // the answer gets lost
		c.send(flagSYN, c.seq, "")
		c.take()
		c.lose = func() bool { return false }
		c.send(flagSYN, c.seq, "")
		c.take()
		if c.acked != c.seq+1 {
			t.Fatal("the second SYN has no answer")
		}
		// Another client uses the same port while the first connection is open.
		n2 := newNetwork(echo)
		c = newClient(t, n2, ways["IPv4"])
		c.send(flagSYN, 7, "")
		n2.sent()
		c.open()
		c.say(framed("?"))
		c.wants(framed("A?"))
		if c.largest > 536 {
			t.Errorf("a segment has %d bytes", c.largest)
		}
	})
}

func TestClientsThatVanish(t *testing.T) {
	for name, c := range map[string]struct {
		until func(c *client)
		after time.Duration // more than that is not left of it
		reset bool
	}{
		"opening":   {func(c *client) { c.send(flagSYN, c.seq, "") }, 15 * time.Second, false},
		"asking":    {func(c *client) { c.open(); c.say(framed("?")[:2]) }, 3 * time.Minute, true},
		"answered":  {func(c *client) { c.open(); c.lose = func() bool { return len(c.got) > 0 }; c.say(framed("?")) }, 5 * time.Minute, true},
		"idle":      {func(c *client) { c.open() }, 3 * time.Minute, true},
		"half done": {func(c *client) { c.open(); time.Sleep(idle); c.take() }, 3 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(echo)
				client := newClient(t, n, ways["IPv4"])
				c.until(client)
				client.lose = func() bool { return true }
				for left := c.after; left > 0 && n.count() > 0; left -= time.Second {
					time.Sleep(time.Second)
					synctest.Wait()
					all := n.sent()
					if last := len(all) - 1; last >= 0 && n.count() == 0 {
						flags := receive(t, client.way, all[last:])[0].payload[13]
						client.reset = flags&flagRST != 0
					}
				}
				n.forgotten(t)
				if client.reset != c.reset {
					t.Errorf("reset %t; want %t", client.reset, c.reset)
				}
			})
		})
	}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(echo)
		c := dial(t, n, ways["IPv4"])
		time.Sleep(idle - time.Second)
		c.take()
		c.say(framed("?"))
		time.Sleep(idle - time.Second)
		c.take()
		if c.ended {
			t.Error("closed too early")
		}
		time.Sleep(time.Second)
		c.take()
		if !c.ended {
			t.Error("not closed")
		}
		c.end()
		n.forgotten(t)
	})
}

// A slow query keeps its connection open, and is cancelled with it.
func TestALongQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		n := newNetwork(func(ctx context.Context, question []byte, _ string, _ netip.AddrPort) ([]byte, error) {
			select {
			case <-time.After(3 * idle):
			case <-ctx.Done():
				ended++
			}
			return question, nil
		})
		c := dial(t, n, ways["IPv4"])
		c.say(framed("?"))
		time.Sleep(3 * idle)
		c.take()
		c.wants(framed("?"))
		c.say(framed("!"))
		c.send(flagRST, c.seq, "")
		synctest.Wait()
		if ended != 1 {
			t.Error("the question goes on")
		}
		n.forgotten(t)
	})
}

func TestNoAnswerOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(refuse)
		c := dial(t, n, ways["IPv4"])
		c.say(framed("?"))
		if !c.ended || len(c.got) > 0 {
			t.Errorf("ended %t, with %q", c.ended, c.got)
		}
		c.end()
		n.forgotten(t)
	})
}

func TestRejectedSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(echo)
		c := dial(t, n, ways["IPv4"])
		c.say(string([]byte{0x10, 1})) // a question of 4097 bytes
		if !c.reset {
			t.Error("a long question is not rejected")
		}
		n.forgotten(t)
		for name, segment := range map[string]struct {
			flags    byte
			seq, ack uint32
		}{
			"data":         {flagACK | flagPSH, 0, 0},
			"an end":       {flagFIN, 0, 0},
			"SYN and ACK":  {flagSYN | flagACK, 0, 0},
			"SYN with FIN": {flagSYN | flagFIN, 0, 0},
		} {
			c := newClient(t, n, ways["IPv6"])
			c.send(segment.flags, c.seq, "data")
			c.take()
			if !c.reset {
				t.Errorf("%s of no connection: not rejected", name)
			}
		}
		c = newClient(t, n, ways["IPv6"])
		c.send(flagRST, c.seq, "")
		c.take()
		if c.reset {
			t.Error("a reset is reset")
		}
		n.forgotten(t)
	})
}

// A wrongly acknowledged opening is rejected, and can still be completed.
func TestAWrongAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(echo)
		c := newClient(t, n, ways["IPv4"])
		c.send(flagSYN, c.seq, "")
		n.sent()
		c.seq++
		c.send(flagACK, c.seq, framed("?"))
		c.take()
		if !c.reset {
			t.Error("not rejected")
		}
		c.wants("")
	})
}

// The connection that was idle for longest makes room for a new one, unless it waits for an answer.
func TestTooManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan []byte)
		n := newNetwork(func(context.Context, []byte, string, netip.AddrPort) ([]byte, error) { return <-answers, nil })
		another := func(port int) *client {
			w := ways["IPv4"]
			w.client = netip.AddrPortFrom(w.client.Addr(), uint16(port))
			time.Sleep(time.Millisecond)
			return newClient(t, n, w)
		}
		asking := another(1000)
		asking.open()
		asking.say(framed("?"))
		for i := range maxConnections - 1 {
			another(2000 + i).open()
		}
		another(3000).open()
		if got := n.count(); got != maxConnections {
			t.Errorf("%d connections; want %d", got, maxConnections)
		}
		if _, ok := n.connections[endpoint{netip.AddrPortFrom(client4.Addr(), 2000), service4}]; ok {
			t.Error("the oldest idle connection still exists")
		}
		for _, c := range n.connections {
			c.out = []byte("all of them are busy")
		}
		c := another(4000)
		c.send(flagSYN, c.seq, "")
		c.take()
		if !c.reset {
			t.Error("one more is not rejected")
		}
		answers <- []byte("!")
		asking.take()
		asking.wants(framed("!"))
		for _, c := range n.connections {
			n.remove(c)
		}
	})
}

func TestTooManyQuestionsOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		n := newNetwork(func(context.Context, []byte, string, netip.AddrPort) ([]byte, error) { <-release; return nil, nil })
		c := dial(t, n, ways["IPv4"])
		for range maxQueries {
			n.Handle(datagram(ways["IPv6"], 53, []byte("?")))
		}
		c.say(framed("?"))
		if !c.reset || n.log != 1 {
			t.Errorf("reset %t, with %d lines in the log", c.reset, n.log)
		}
		close(release)
	})
}
