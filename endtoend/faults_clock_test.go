package endtoend

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority issues certificates for the control server.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	a.cert = a.issue(a.cert)
	return a
}

func (a *authority) issue(template *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// from returns a certificate of the control server that becomes valid at the given time.
func (a *authority) from(begin time.Time) *tls.Certificate {
	a.t.Helper()
	cert := a.issue(&x509.Certificate{
		SerialNumber: big.NewInt(begin.Unix()), Subject: pkix.Name{CommonName: "Control server"}, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.ParseIP(controlAddress)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: a.key}
}

// serveTLS serves TLS for the control server, with the current certificate.
func serveTLS(w *world, port string, cert *atomic.Pointer[tls.Certificate]) {
	w.t.Helper()
	l := tls.NewListener(w.internet.listen(net.JoinHostPort(controlAddress, port)), &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil },
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = client.Close() }()
				var server net.Conn
				if w.internet.within(func() (err error) {
					server, err = net.Dial("tcp", strings.TrimPrefix(controlURL, "http://"))
					return err
				}) != nil {
					return
				}
				defer func() { _ = server.Close() }()
				go func() { _, _ = io.Copy(server, client) }()
				_, _ = io.Copy(client, server)
			}()
		}
	}()
}

// A board without a battery boots with a clock before any certificate is valid. The tests can't change this machine's
// clock, so the certificate starts in the future. A certificate that is already valid then stands for setting the
// clock. Package supervisor has tests for the log messages about a clock in 1970.
func TestAClockThatIsWrongAtBoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	a := newAuthority(t)
	file := filepath.Join(t.TempDir(), "authority.pem")
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
	var cert atomic.Pointer[tls.Certificate]
	cert.Store(a.from(time.Now().AddDate(0, 1, 0)))
	serveTLS(w, "8444", &cert)
	s := w.site(1)
	c := startContainer(t, options{name: "router", image: builtImage(t, "amd64"), network: s.container,
		env:   []string{"TS_AUTHKEY=" + w.control.key(false), "TS_LOGIN_SERVER=https://" + controlAddress + ":8444", "TS_ROUTES=" + s.routes},
		setup: "mkdir -p etc/ssl/certs && cp " + file + " etc/ssl/certs/ca-certificates.crt"})
	c.waitFor("x509: certificate has expired or is not yet valid")
	c.waitFor("entrypoint: the control server can't be reached yet, the daemon keeps trying")
	if c.healthy() || c.ended() {
		t.Error("the router is logged in, or has exited")
	}
	cert.Store(a.from(time.Now().AddDate(0, -1, 0)))
	c.running()
	eventually(t, "the routes are there", func() bool { return len(c.status().Self.PrimaryRoutes) == 2 })
	if strings.Contains(c.log(), "don't reach tailscale0") {
		t.Error("the entrypoint reports missing routes before the login")
	}
}
