package recipe

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/daemon"
	"dagger/mikrotik-tailscale/shrink/roots"
)

// getter connects to an address like Tailscale's program, and prints the result.
const getter = `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	_, err := http.Get(os.Getenv("ADDRESS"))
	fmt.Println(err)
}
`

// The test compiles the file that is added to Tailscale's program into a small program, with its own certificate.
func TestBuiltInRoots(t *testing.T) {
	authority, authorityKey := certificate(t, nil, nil)
	leaf, leafKey := certificate(t, authority, authorityKey)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}}}
	server.StartTLS()
	defer server.Close()
	stranger, _ := certificate(t, nil, nil)
	other, _ := certificate(t, nil, nil)
	packed, err := roots.Pack(append(asPEM(other), asPEM(authority)...))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"main.go": getter, "roots.go": daemon.Roots, "roots.der": string(packed), "go.mod": "module getter\n\ngo 1.26\n",
		"authority.pem": string(asPEM(authority)), "stranger.pem": string(asPEM(stranger)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change := changedGo([]changedFile{lazyCertificates})
	change[slices.Index(change, overlay)] = filepath.Join(dir, "overlay.json")
	changed := t.TempDir()
	for _, args := range [][]string{change,
		{"go", "build", "-overlay", "overlay.json", "-tags", builtInRootsTag, "-o", "tailscaled", "."},
		{"go", "build", "-tags", builtInRootsTag, "-o", "stock", "."}} {
		cmd := exec.Command(args[0], args[1:]...)
		// The go command doesn't replace files in its module cache, where the toolchain may be.
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOTOOLCHAIN=local", "GOMODCACHE="+filepath.Join(dir, "modules"))
		if args[0] != "go" {
			cmd.Dir = changed
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	const trusted, unknown = "<nil>", "x509: certificate signed by unknown authority"
	for _, c := range []struct{ command, certificates, want string }{
		{"stock", "", trusted}, // with Go's library unchanged
		{"stock", "stranger.pem", unknown},
		{"tailscaled", "", trusted},
		{"tailscaled", "stranger.pem", unknown}, // mounted certificates override the built-in ones
		{"tailscale netcheck", "", trusted},
		{"tailscale debug derp 1", "", trusted},
		// Features add connections to commands that otherwise open none.
		{"tailscale --socket=/s up --reset --advertise-tags=tag:router --auth-key=file:/proc/self/fd/0", "", trusted},
		{"tailscale --socket /s up --hostname status", "", trusted},
		{"tailscale -socket status up", "", trusted},
		{"tailscale login --client-id=x --id-token=y", "", trusted},
		{"tailscale update --yes", "", trusted},
		{"tailscale version --upstream", "", trusted},
		{"tailscale --version", "", trusted},
		{"tailscale a-later-command status", "", trusted},
		{"tailscale", "", trusted},
		{"tailscale up", "stranger.pem", unknown},
		// These commands open no TLS connections, and are fast without the certificates.
		{"tailscale status", "", unknown},
		{"tailscale --socket=/s status --json", "", unknown},
		{"tailscale --socket /s set --hostname=up", "", unknown},
		{"tailscale ip up", "", unknown},
		{"tailscale status", "authority.pem", trusted},
	} {
		t.Run(c.command+" "+c.certificates, func(t *testing.T) {
			program := "tailscaled"
			if c.command == "stock" {
				program = "stock"
			}
			cmd := exec.Command(filepath.Join(dir, program))
			cmd.Args = strings.Fields(c.command)
			there := filepath.Join(dir, cmp.Or(c.certificates, "not-there"))
			cmd.Env = []string{"ADDRESS=" + server.URL, "SSL_CERT_FILE=" + there, "SSL_CERT_DIR=" + filepath.Join(dir, "not-there")}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := strings.TrimSpace(string(out)); !strings.HasSuffix(got, c.want) {
				t.Errorf("printed %q, want %q", got, c.want)
			}
		})
	}
}

// certificate returns a certificate for 127.0.0.1 with its key or, without an issuer, the certificate of an
// authority.
func certificate(t *testing.T, issuer *x509.Certificate, issuerKey crypto.Signer) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		Subject: pkix.Name{CommonName: rand.Text()}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if issuer == nil {
		template.IsCA, issuer, issuerKey = true, template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func asPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
