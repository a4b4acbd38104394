package magicdns

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// The flags of TCP segments.
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

const (
	// firstTimeout is how long to wait for the first acknowledgement. Each further wait is twice as long.
	firstTimeout = time.Second
	// maxRetries is how often a segment is sent again, maxOpeningRetries how often the one that opens a connection is.
	maxRetries, maxOpeningRetries = 6, 3
	// maxUnacknowledged is how many segments are sent before the first of them is acknowledged.
	maxUnacknowledged = 10

	tcpHeader = 20
	minMSS    = 64
)

// endpoint identifies a connection.
type endpoint struct {
	client  netip.AddrPort
	service netip.Addr
}

// connection is a TCP connection, on which queries are answered one after the other. Sequence numbers wrap around, so
// only their differences are compared.
type connection struct {
	endpoint
	// last is the time of the client's last segment.
	last time.Time

	// next is the next sequence number that the client has to send, and in is the received part of the next queries.
	next uint32
	in   []byte
	// ended is true if the client sends no more data.
	ended bool

	// mss and window are how much the client accepts in one segment, and in all segments together.
	mss, window int
	// opened is true if the client has acknowledged our first sequence number.
	opened bool
	// acked is the first sequence number that the client has not acknowledged, out the data to send from there on,
	// and sent how much of it has been sent. After the end, sent includes the FIN.
	acked uint32
	out   []byte
	sent  int
	// closing is true if nothing follows out, closed after the FIN was sent, and done after it was acknowledged.
	closing, closed, done bool

	// cancel ends the running query, if there is one.
	cancel context.CancelFunc

	timer    *time.Timer
	deadline time.Time
	retries  int
}

// segment is a TCP segment.
type segment struct {
	endpoint
	port     uint16
	seq, ack uint32
	flags    byte
	window   int
	options  []byte
	data     []byte
}

func (s segment) has(flags byte) bool { return s.flags&flags != 0 }

// length returns how many sequence numbers the segment takes.
func (s segment) length() uint32 {
	n := uint32(len(s.data))
	if s.has(flagSYN) {
		n++
	}
	if s.has(flagFIN) {
		n++
	}
	return n
}

func (r *Responder) tcp(p packet) {
	b := p.payload
	if len(b) < tcpHeader {
		return
	}
	header := int(b[12]>>4) * 4
	if header < tcpHeader || header > len(b) || !p.intact() {
		return
	}
	s := segment{
		endpoint: endpoint{netip.AddrPortFrom(p.from, binary.BigEndian.Uint16(b)), p.to},
		port:     binary.BigEndian.Uint16(b[2:]),
		seq:      binary.BigEndian.Uint32(b[4:]), ack: binary.BigEndian.Uint32(b[8:]), flags: b[13],
		window:  int(binary.BigEndian.Uint16(b[14:])),
		options: b[tcpHeader:header], data: b[header:],
	}
	if s.client.Port() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.connections[s.endpoint]
	switch {
	case s.port == port && c != nil:
		r.receive(c, s)
	case s.has(flagRST):
	case s.port == port && !s.has(flagACK|flagFIN) && s.has(flagSYN):
		r.open(s)
	default:
		r.reject(s)
	}
}

// reject answers a segment that belongs to no connection.
func (r *Responder) reject(s segment) {
	if s.has(flagACK) {
		r.sendSegment(s.endpoint, s.port, flagRST, s.ack, 0, 0, nil, nil)
	} else {
		r.sendSegment(s.endpoint, s.port, flagRST|flagACK, 0, s.seq+s.length(), 0, nil, nil)
	}
}

// open opens a connection.
func (r *Responder) open(s segment) {
	if len(r.connections) == maxConnections {
		var oldest *connection
		for _, c := range r.connections {
			if c.cancel == nil && len(c.out) == 0 && (oldest == nil || c.last.Before(oldest.last)) {
				oldest = c
			}
		}
		if oldest == nil {
			r.reject(s)
			return
		}
		r.abort(oldest)
	}
	c := &connection{endpoint: s.endpoint, last: time.Now(), next: s.seq + 1, acked: rand.Uint32(),
		mss: min(max(announcedMSS(s.options, s.service), minMSS), r.maxSegment(s.service)), window: s.window}
	c.timer = time.AfterFunc(firstTimeout, func() { r.expire(c) })
	r.connections[c.endpoint] = c
	r.sendOpening(c)
	r.wait(c)
}

// announcedMSS returns the segment size in the client's options, or TCP's default without one.
func announcedMSS(options []byte, service netip.Addr) int {
	for len(options) > 0 && options[0] != 0 {
		if options[0] == 1 {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			break
		}
		if options[0] == 2 && options[1] == 4 {
			return int(binary.BigEndian.Uint16(options[2:]))
		}
		options = options[options[1]:]
	}
	if service.Is6() {
		return 1220
	}
	return 536
}

// maxSegment returns how much data fits into a packet.
func (r *Responder) maxSegment(service netip.Addr) int {
	if service.Is6() {
		return r.mtu - 40 - tcpHeader
	}
	return r.mtu - 20 - tcpHeader
}

// receive handles a segment of a connection.
func (r *Responder) receive(c *connection, s segment) {
	switch {
	case s.has(flagRST):
		if s.seq == c.next {
			r.remove(c)
		}
		return
	case s.has(flagSYN):
		switch {
		case c.opened:
			r.acknowledge(c)
		case s.seq+1 == c.next:
			r.sendOpening(c)
		default:
			r.remove(c)
			r.open(s)
		}
		return
	case !s.has(flagACK):
		return
	}
	if !c.opened {
		if s.ack != c.acked+1 {
			r.reject(s)
			return
		}
		c.opened, c.acked, c.retries = true, s.ack, 0
	}
	if n := int(int32(s.ack - c.acked)); n > c.sent {
		r.acknowledge(c)
		return
	} else if n > 0 {
		c.done = n > len(c.out)
		c.out = c.out[min(n, len(c.out)):]
		c.acked, c.sent, c.retries = s.ack, c.sent-n, 0
	}
	c.last, c.window = time.Now(), s.window

	answer := s.length() > 0 || s.seq != c.next
	known := int(int32(c.next - s.seq))
	switch {
	case known < 0 || c.ended:
		// The segments in between were lost, and will be sent again with the rest. After the end, nothing follows.
		s.data, s.flags = nil, 0
	case known > len(s.data):
		s.data, s.flags = nil, 0
	default:
		s.data = s.data[known:]
	}
	if room := c.room(); len(s.data) > room {
		s.data, s.flags = s.data[:room], 0
	}
	c.in = append(c.in, s.data...)
	c.next += uint32(len(s.data))
	if s.has(flagFIN) {
		c.next++
		c.ended = true
	}
	r.proceed(c, answer)
}

// room returns how much more the client may send.
func (c *connection) room() int { return 2 + maxQueryLength - len(c.in) }

// proceed continues a connection: it starts the next query, sends what can be sent, or at least an acknowledgement,
// and closes the connection.
func (r *Responder) proceed(c *connection, acknowledge bool) {
	if c.cancel == nil && len(c.out) == 0 && !c.closing {
		length := maxQueryLength
		if len(c.in) >= 2 {
			length = int(binary.BigEndian.Uint16(c.in))
		}
		switch {
		case length > maxQueryLength:
			r.abort(c)
			return
		case len(c.in) >= 2+length:
			ctx, cancel := context.WithCancel(context.Background())
			if r.ask(ctx, c.in[2:2+length], "tcp", c.client, func(answer []byte) { r.reply(c, answer) }) != nil {
				cancel()
				r.abort(c)
				return
			}
			c.cancel = cancel
			c.in = slices.Clone(c.in[2+length:])
			acknowledge = true // there is room again
		case c.ended:
			c.closing = true
		}
	}
	limit := min(c.window, maxUnacknowledged*c.mss)
	for c.opened && c.sent < len(c.out) {
		full := min(c.mss, len(c.out)-c.sent)
		n := min(full, limit-c.sent)
		if n <= 0 || n < full && c.sent > 0 {
			break // a small window is only filled if no other segment is on its way
		}
		r.sendPart(c, c.sent, n)
		c.sent += n
		acknowledge = false
	}
	if c.closing && !c.closed && c.sent == len(c.out) {
		c.closed = true
		c.sent++
		r.sendEnd(c)
		acknowledge = false
	}
	if acknowledge {
		r.acknowledge(c)
	}
	if c.ended && c.done {
		r.remove(c)
		return
	}
	r.wait(c)
}

// reply handles the answer to a connection's query.
func (r *Responder) reply(c *connection, answer []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.connections[c.endpoint] != c {
		return
	}
	c.cancel()
	c.cancel = nil
	if len(answer) == 0 || len(answer) > 0xffff {
		c.closing = true
	} else {
		c.out = append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer))), answer...)
	}
	r.proceed(c, false)
}

// wait sets the time of a connection's next step if the client sends nothing.
func (r *Responder) wait(c *connection) {
	after := idle
	if !c.opened || len(c.out) > 0 || c.sent > 0 {
		after = firstTimeout << c.retries
	}
	c.deadline = time.Now().Add(after)
	c.timer.Reset(after)
}

// expire runs that step.
func (r *Responder) expire(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.connections[c.endpoint] != c || time.Now().Before(c.deadline) {
		return
	}
	c.retries++
	switch {
	case !c.opened:
		if c.retries > maxOpeningRetries {
			r.remove(c)
			return
		}
		r.sendOpening(c)
	case c.retries > maxRetries:
		r.abort(c)
		return
	case len(c.out) > 0:
		// This also happens if the client's window is closed, because the answer shows whether it is open again.
		n := min(c.mss, len(c.out), max(c.window, 1))
		r.sendPart(c, 0, n)
		c.sent = max(c.sent, n)
	case c.sent > 0:
		r.sendEnd(c)
	case c.closed:
		r.remove(c)
		return
	case c.cancel == nil:
		c.closing, c.retries = true, 0
		r.proceed(c, false)
		return
	default:
		c.retries = 0
	}
	r.wait(c)
}

// abort ends a connection and resets it at the client.
func (r *Responder) abort(c *connection) {
	r.sendSegment(c.endpoint, port, flagRST|flagACK, c.acked+uint32(c.sent), c.next, 0, nil, nil)
	r.remove(c)
}

// remove removes a connection.
func (r *Responder) remove(c *connection) {
	c.timer.Stop()
	if c.cancel != nil {
		c.cancel()
	}
	delete(r.connections, c.endpoint)
}

func (r *Responder) sendOpening(c *connection) {
	mss := binary.BigEndian.AppendUint16([]byte{2, 4}, uint16(r.maxSegment(c.service)))
	r.sendSegment(c.endpoint, port, flagSYN|flagACK, c.acked, c.next, c.room(), mss, nil)
}

func (r *Responder) sendPart(c *connection, at, length int) {
	r.sendSegment(c.endpoint, port, flagACK|flagPSH, c.acked+uint32(at), c.next, c.room(), nil, c.out[at:at+length])
}

func (r *Responder) sendEnd(c *connection) {
	r.sendSegment(c.endpoint, port, flagACK|flagFIN, c.acked+uint32(len(c.out)), c.next, c.room(), nil, nil)
}

func (r *Responder) acknowledge(c *connection) {
	r.sendSegment(c.endpoint, port, flagACK, c.acked+uint32(c.sent), c.next, c.room(), nil, nil)
}

func (r *Responder) sendSegment(e endpoint, from uint16, flags byte, seq, ack uint32, window int, options, data []byte) {
	part := make([]byte, tcpHeader, tcpHeader+len(options)+len(data))
	binary.BigEndian.PutUint16(part, from)
	binary.BigEndian.PutUint16(part[2:], e.client.Port())
	binary.BigEndian.PutUint32(part[4:], seq)
	binary.BigEndian.PutUint32(part[8:], ack)
	part[12] = byte((tcpHeader + len(options)) / 4 << 4)
	part[13] = flags
	binary.BigEndian.PutUint16(part[14:], uint16(window))
	r.send(e.service, e.client.Addr(), protocolTCP, append(append(part, options...), data...), 16)
}
