package endtoend

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
)

// world is the network that the routers are connected to: it simulates the internet, with servers.
type world struct {
	t        testing.TB
	internet namespace
	control  *control
	dns      *dnsServer
}

// site is a home: a router with RouterOS (the gateway) and the container, and a host. The gateway is configured like
// RouterOS in docs/usage.md: it masquerades packets to the internet, drops connections from there, and routes the
// tailnet to the container.
type site struct {
	gateway, container, host namespace
	wan4, wan6, lan4, lan6   string // the addresses of the gateway's uplink and of the host
	routes                   string
}

// The website, and the names that the name server resolves to its addresses.
const (
	websiteAddress  = "203.0.113.80"
	websiteAddress6 = "2001:db8:80::80"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	testmode.Machine(t)
	w := &world{t: t, internet: newNamespace(t, "internet")}
	w.internet.ip("link", "add", "bridge", "type", "bridge")
	w.internet.addresses("bridge", serverAddress+"/24", serverAddress6+"/64")
	w.internet.addresses("lo", websiteAddress+"/32", websiteAddress6+"/128", controlAddress+"/32")
	w.control = newControl(t, w.internet)
	w.dns = serveDNS(t, w.internet)
	website := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = fmt.Fprintln(w, "you are", host)
	})}
	for _, address := range []string{websiteAddress, websiteAddress6} {
		l := w.internet.listen(net.JoinHostPort(address, "80"))
		go func() { _ = website.Serve(l) }()
	}
	return w
}

// plug connects a namespace to the internet.
func (w *world) plug(n namespace, number int) (address4, address6 string) {
	w.t.Helper()
	address4, address6 = fmt.Sprintf("198.18.0.%d", number), fmt.Sprintf("2001:db8::%d", number)
	port := fmt.Sprintf("port%d", number)
	link(w.internet, port, nil, n, "wan", []string{address4 + "/24", address6 + "/64"})
	w.internet.ip("link", "set", port, "master", "bridge")
	n.routes("default "+serverAddress, "::/0 "+serverAddress6)
	return address4, address6
}

// site returns a new home with a number between 1 and 9.
func (w *world) site(number int) site {
	w.t.Helper()
	name := func(what string) string { return fmt.Sprintf("%s%d", what, number) }
	s := site{
		gateway: newNamespace(w.t, name("gateway")), container: newNamespace(w.t, name("container")), host: newNamespace(w.t, name("host")),
		lan4: fmt.Sprintf("192.168.8%d.10", number), lan6: fmt.Sprintf("fd8%d::10", number),
		routes: fmt.Sprintf("192.168.8%d.0/24,fd8%[1]d::/64", number),
	}
	s.wan4, s.wan6 = w.plug(s.gateway, 10+number)
	s.gateway.forward()
	// Since 7.21, the container's interface has the same name as the veth in RouterOS. Tailscale ignores interfaces
	// whose names begin with its own.
	link(s.gateway, "veth", []string{"172.20.0.1/24", "fd20::1/64"}, s.container, "veth-tailnet", []string{"172.20.0.2/24", "fd20::2/64"})
	s.container.routes("default 172.20.0.1", "::/0 fd20::1")
	link(s.gateway, "lan", []string{fmt.Sprintf("192.168.8%d.1/24", number), fmt.Sprintf("fd8%d::1/64", number)},
		s.host, "lan", []string{s.lan4 + "/24", s.lan6 + "/64"})
	s.host.routes(fmt.Sprintf("default 192.168.8%d.1", number), fmt.Sprintf("::/0 fd8%d::1", number))
	s.gateway.routes("100.64.0.0/10 172.20.0.2", "192.168.80.0/20 172.20.0.2", "fd7a:115c:a1e0::/48 fd20::2", "fd80::/12 fd20::2")
	for _, tables := range []string{"iptables", "ip6tables"} {
		s.gateway.command(tables, "-t", "nat", "-A", "POSTROUTING", "-o", "wan", "-j", "MASQUERADE")
		// RouterOS does the same by default. Otherwise a packet that arrives too early blocks the path.
		s.gateway.command(tables, "-A", "INPUT", "-i", "wan", "-m", "conntrack", "--ctstate", "NEW", "-p", "udp", "-j", "DROP")
	}
	return s
}

// router starts the image at a site.
func (w *world) router(i image, s site, name string, env ...string) *container {
	w.t.Helper()
	return startContainer(w.t, options{name: name, image: i, network: s.container, env: append([]string{"TS_LOGIN_SERVER=" + controlURL}, env...)})
}

// plainImage returns an image with a release of upstream's Tailscale, not packed.
func plainImage(t testing.TB, release source, compile goCommand) image {
	t.Helper()
	i := builtImage(t, "amd64")
	i.plain = true
	i.rootfs = filepath.Join(t.TempDir(), "plain")
	command(t, "cp", "-a", builtImage(t, "amd64").rootfs, i.rootfs)
	for _, name := range []string{"tailscaled", "tailscale"} {
		path := filepath.Join(i.rootfs, "usr/local/bin", name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		command(t, "cp", release.build(t, compile, runtime.GOARCH, "tailscale.com/cmd/"+name), path)
	}
	return i
}

// client starts an upstream Tailscale client on the internet, with its own addresses there.
func (w *world) client(key string) (c *container, address4, address6 string) {
	w.t.Helper()
	n := newNamespace(w.t, "client")
	address4, address6 = w.plug(n, 20)
	c = startContainer(w.t, options{name: "client", image: plainImage(w.t, tailscaleServers, testtools.QuickGo), network: n,
		args: []string{"/usr/local/bin/tailscaled", "--no-logs-no-support"}})
	eventually(w.t, "the client's daemon answers", func() bool { _, err := c.sh("tailscale status --json"); return err == nil })
	c.must("tailscale up --accept-routes --login-server=" + controlURL + " --auth-key=" + key)
	return c, address4, address6
}

// dnsServer resolves every name to the website's addresses and records who asked. Names that begin with "six" only
// have an IPv6 address, others only an IPv4 address. Names that begin with "no" don't exist, those that begin with
// "silent" get no answer, and those that begin with "large" have a text that needs TCP or a client that accepts large
// answers.
type dnsServer struct {
	mu    sync.Mutex
	asked map[string]string
}

func serveDNS(t testing.TB, n namespace) *dnsServer {
	t.Helper()
	d := &dnsServer{asked: map[string]string{}}
	var conn net.PacketConn
	err := n.within(func() (err error) {
		conn, err = net.ListenPacket("udp", serverAddress+":53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := d.answer(buffer[:n], from, false); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	l := n.listen(serverAddress + ":53")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serve(c)
		}
	}()
	return d
}

// serve answers the queries of a TCP connection.
func (d *dnsServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		query, err := readFramed(c)
		if err != nil {
			return
		}
		if reply := d.answer(query, c.RemoteAddr(), true); reply != nil {
			_, _ = c.Write(framed(reply))
		}
	}
}

// framed returns a DNS message in the form that is sent over TCP.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

func readFramed(r io.Reader) ([]byte, error) {
	var length uint16
	if err := binary.Read(r, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	message := make([]byte, length)
	_, err := io.ReadFull(r, message)
	return message, err
}

func (d *dnsServer) answer(query []byte, from net.Addr, tcp bool) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	host, _, _ := net.SplitHostPort(from.String())
	d.mu.Lock()
	d.asked[strings.TrimSuffix(q.Name.String(), ".")] = host
	d.mu.Unlock()
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	switch six := strings.HasPrefix(q.Name.String(), "six"); {
	case strings.HasPrefix(q.Name.String(), "silent"):
		return nil
	case strings.HasPrefix(q.Name.String(), "no"):
		reply.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeTXT && strings.HasPrefix(q.Name.String(), "large"):
		for range 12 {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.TXTResource{TXT: []string{strings.Repeat("0123456789", 20)}}})
		}
	case q.Type == dnsmessage.TypeA && !six:
		reply.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: netip.MustParseAddr(websiteAddress).As4()}}}
	case q.Type == dnsmessage.TypeAAAA && six:
		reply.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(websiteAddress6).As16()}}}
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	most := 512
	for _, r := range m.Additionals {
		if r.Header.Type == dnsmessage.TypeOPT {
			most = int(r.Header.Class)
		}
	}
	if !tcp && len(packed) > most {
		reply.Truncated, reply.Answers = true, nil
		packed, _ = reply.Pack()
	}
	return packed
}

// whoAsked returns the origin of the last query for a name, or "" if there was none.
func (d *dnsServer) whoAsked(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[name]
}

// ask sends a query for an IPv4 address over a connection to a name server.
func ask(t testing.TB, conn net.Conn, name string) (address string) {
	t.Helper()
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a name server answers", func() bool {
		buffer := make([]byte, 1500)
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := conn.Write(packed); err != nil {
			return false
		}
		n, err := conn.Read(buffer)
		var m dnsmessage.Message
		if err != nil || m.Unpack(buffer[:n]) != nil {
			return false
		}
		for _, a := range m.Answers {
			if body, ok := a.Body.(*dnsmessage.AResource); ok {
				address = net.IP(body.A[:]).String()
			}
		}
		return true
	})
	return address
}
