package recipe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/roots"
)

// getter asks for an address, as Tailscale's program does, and says how that went.
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

// The file that is added to Tailscale's program, in a small program and with a certificate of the test's own.
func TestBuiltInRoots(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	packed, err := roots.Pack(certificate)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"main.go": getter, "roots.go": fallbackRoots, "roots.der": string(packed), "go.mod": "module getter\n\ngo 1.26\n",
		"these.pem": string(certificate),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", "tailscaled", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const trusted, unknown = "<nil>", "x509: certificate signed by unknown authority"
	other := filepath.Join(dir, "other.pem")
	if err := os.WriteFile(other, otherRoot(t), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, certificates, want string }{
		{"tailscaled", "", trusted},
		{"tailscaled", other, unknown}, // what the user mounts takes the place of what is built in
		{"tailscale netcheck", "", trusted},
		{"tailscale debug derp 1", "", trusted},
		{"tailscale status", "", unknown}, // it opens no TLS connections, and is quick without them
		{"tailscale status", filepath.Join(dir, "these.pem"), trusted},
	} {
		t.Run(fmt.Sprint(c.command, filepath.Base(c.certificates)), func(t *testing.T) {
			cmd := exec.Command(filepath.Join(dir, "tailscaled"))
			cmd.Args = strings.Fields(c.command)
			if c.certificates == "" {
				c.certificates = filepath.Join(dir, "not-there")
			}
			cmd.Env = []string{"ADDRESS=" + server.URL, "SSL_CERT_FILE=" + c.certificates, "SSL_CERT_DIR=" + filepath.Join(dir, "not-there")}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := strings.TrimSpace(string(out)); !strings.HasSuffix(got, c.want) {
				t.Errorf("it says %q, wanted was %q", got, c.want)
			}
		})
	}
}

// otherRoot is a certificate that has nothing to do with the server's.
func otherRoot(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
