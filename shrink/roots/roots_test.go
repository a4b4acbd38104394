package roots

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// issue issues a certificate for a key. Without an issuer it is a root certificate.
func issue(t *testing.T, name string, key crypto.Signer, issuer *x509.Certificate, issuerKey crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: !strings.Contains(name, "."), BasicConstraintsValid: true,
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func keys(t *testing.T) (crypto.Signer, crypto.Signer) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return ec, r
}

func asPEM(all ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

// A chain is verified with a packed root like with the original one, whether the server sends its root or not. A
// certificate with the root's name and another key is still rejected.
func TestPackedRootsVerifyTheSameChains(t *testing.T) {
	ec, r := keys(t)
	for name, key := range map[string]crypto.Signer{"ECDSA": ec, "RSA": r} {
		t.Run(name, func(t *testing.T) {
			root := issue(t, "root", key, nil, nil)
			server := issue(t, "server.example", ec, root, key)
			packed, err := Pack(asPEM(root))
			if err != nil {
				t.Fatal(err)
			}
			again, err := x509.ParseCertificate(append(packed, make([]byte, len(root.Signature))...))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.RawTBSCertificate, root.RawTBSCertificate) {
				t.Error("the content of the certificate has changed")
			}
			if len(bytes.Trim(again.Signature, "\x00")) > 0 {
				t.Error("the signature is still there")
			}
			pool := x509.NewCertPool()
			pool.AddCert(again)
			sent := x509.NewCertPool()
			sent.AddCert(root)
			for _, options := range []x509.VerifyOptions{
				{Roots: pool, DNSName: "server.example"},
				{Roots: pool, DNSName: "server.example", Intermediates: sent},
			} {
				if _, err := server.Verify(options); err != nil {
					t.Error(err)
				}
			}
			other, _ := keys(t)
			impostor := issue(t, "server.example", ec, issue(t, "root", other, nil, nil), other)
			if _, err := impostor.Verify(x509.VerifyOptions{Roots: pool, DNSName: "server.example"}); err == nil {
				t.Error("a certificate from another key was accepted")
			}
		})
	}
}

// The certificates are sorted by the type of their keys and by their names.
func TestPackOrdersCertificates(t *testing.T) {
	ec, r := keys(t)
	a, b, c := issue(t, "a", r, nil, nil), issue(t, "b", r, nil, nil), issue(t, "c", ec, nil, nil)
	one, err := Pack(asPEM(c, b, a))
	if err != nil {
		t.Fatal(err)
	}
	two, err := Pack(asPEM(b, a, c))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("another order of the same certificates results in other bytes")
	}
	var want []byte
	for _, c := range []*x509.Certificate{a, b, c} {
		want = append(want, bytes.TrimSuffix(c.Raw, c.Signature)...)
	}
	if !bytes.Equal(one, want) {
		t.Error("the certificates are not in the order of their names")
	}
}

func TestPackRefuses(t *testing.T) {
	ec, _ := keys(t)
	root := asPEM(issue(t, "root", ec, nil, nil))
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":             {nil, "no certificates"},
		"something else":      {[]byte("hello"), "no certificates"},
		"a broken one":        {append(bytes.Clone(root), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})...), "certificate 2: "},
		"one that ends early": {append(bytes.Clone(root), root[:len(root)/2]...), "unexpected text after 1 certificates"},
	} {
		if _, err := Pack(c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error = %v, want %q", name, err, c.want)
		}
	}
}
