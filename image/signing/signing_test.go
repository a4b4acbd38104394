package signing

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

const password = "s3cret&word"

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pkcs8 encodes a key like openssl, and seal like cosign.
func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	content, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func seal(t *testing.T, kind string, content []byte, password string) string {
	t.Helper()
	closed, err := encrypted.Encrypt(content, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return inPEM(kind, closed)
}

func inPEM(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

func TestParseKeyAcceptsEachForm(t *testing.T) {
	key := newKey(t, elliptic.P256())
	ec, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, password string }{
		"cosign's":                    {seal(t, pemSigstore, pkcs8(t, key), password), password},
		"cosign's older":              {seal(t, pemCosign, pkcs8(t, key), password), password},
		"cosign's without a password": {seal(t, pemSigstore, pkcs8(t, key), ""), ""},
		"openssl's":                   {inPEM(pemPKCS8, pkcs8(t, key)), ""},
		"openssl's older":             {inPEM(pemEC, ec), ""},
	} {
		got, err := Load(c.text, c.password)
		if err != nil || got == nil || !got.private.Equal(key) {
			t.Errorf("%s: another key (%v)", name, err)
		}
	}
	if got, err := Load("", ""); got != nil || err != nil {
		t.Errorf("without a key, Load = %v (%v)", got, err)
	}
}

func TestKeysThatDoNotSignAreRefused(t *testing.T) {
	key := newKey(t, elliptic.P256())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sealed, plain := seal(t, pemSigstore, pkcs8(t, key), password), inPEM(pemPKCS8, pkcs8(t, key))
	for name, c := range map[string]struct{ text, password, want string }{
		"no PEM":                  {"cosign.key", "", "the signing key is not PEM: want an ECDSA key on P-256"},
		"a public key":            {inPEM("PUBLIC KEY", public), "", `the signing key is PEM of the type "PUBLIC KEY"`},
		"no password":             {sealed, "", "the signing key is encrypted: its password is missing"},
		"a wrong password":        {sealed, "wr0ng&word", "wrong password for the signing key"},
		"a password for nothing":  {plain, password, "the signing key is not encrypted"},
		"a password and no key":   {"", password, "the signing key is missing"},
		"another curve":           {inPEM(pemPKCS8, pkcs8(t, newKey(t, elliptic.P384()))), "", "the signing key is on the curve P-384"},
		"RSA":                     {inPEM(pemPKCS8, pkcs8(t, rsaKey)), "", "the signing key is of the type *rsa.PrivateKey"},
		"Ed25519":                 {inPEM(pemPKCS8, pkcs8(t, edwards)), "", "the signing key is of the type ed25519.PrivateKey"},
		"damaged":                 {inPEM(pemPKCS8, []byte("nothing")), "", "the signing key is damaged"},
		"damaged, older":          {inPEM(pemEC, []byte("nothing")), "", "the signing key is damaged"},
		"damaged behind password": {seal(t, pemSigstore, []byte("nothing"), password), password, "the signing key is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(c.text, c.password)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error = %v; want it to say %q", err, c.want)
			}
			if c.password != "" && strings.Contains(err.Error(), c.password) || strings.Contains(err.Error(), strings.Split(sealed, "\n")[1]) {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

// opened is the part of a bundle that a verifier reads.
type opened struct {
	MediaType            string
	VerificationMaterial struct{ PublicKey struct{ Hint string } }
	DSSEEnvelope         struct {
		Payload     []byte
		PayloadType string
		Signatures  []struct{ Sig []byte }
	} `json:"dsseEnvelope"`
}

func open(t *testing.T, bundle string) (o opened) {
	t.Helper()
	if err := json.Unmarshal([]byte(bundle), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// verifies checks a bundle according to the DSSE and Sigstore specifications, without the code that signs.
func verifies(o opened, key *ecdsa.PublicKey) bool {
	e := o.DSSEEnvelope
	signed := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload))
	return ecdsa.VerifyASN1(key, signed[:], e.Signatures[0].Sig)
}

func TestABundleHoldsTheStatementAndItsSignature(t *testing.T) {
	private := newKey(t, elliptic.P256())
	key, err := ParseKey(inPEM(pemPKCS8, pkcs8(t, private)), "")
	if err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("ab", 32)
	statement, err := Statement(digest, PredicateSBOM, `{"bomFormat":"CycloneDX","version":1}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + digest + `"}}],` +
		`"predicateType":"https://cyclonedx.org/bom","predicate":{"bomFormat":"CycloneDX","version":1}}`
	if statement != want {
		t.Errorf("statement = %s\nwant        %s", statement, want)
	}
	bundle, err := key.Bundle(statement)
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, bundle)
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(public)
	if o.MediaType != BundleType || o.VerificationMaterial.PublicKey.Hint != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("bundle = %s", bundle)
	}
	if string(o.DSSEEnvelope.Payload) != statement || !verifies(o, &private.PublicKey) {
		t.Errorf("the bundle does not verify: %s", bundle)
	}
	if verifies(o, &newKey(t, elliptic.P256()).PublicKey) {
		t.Error("the bundle verifies with another key")
	}
	o.DSSEEnvelope.Payload[10] ^= 1
	if verifies(o, &private.PublicKey) {
		t.Error("the bundle verifies with another statement")
	}
}

func TestTheSameStatementHasTheSameSignature(t *testing.T) {
	key, err := ParseKey(inPEM(pemPKCS8, pkcs8(t, newKey(t, elliptic.P256()))), "")
	if err != nil {
		t.Fatal(err)
	}
	first, errA := key.Bundle(`{"a":"b"}`)
	second, errB := key.Bundle(`{"a":"b"}`)
	other, errC := key.Bundle(`{"a":"c"}`)
	if first != second || first == other || errA != nil || errB != nil || errC != nil {
		t.Errorf("bundles (%v, %v, %v):\n%s\n%s\n%s", errA, errB, errC, first, second, other)
	}
}

func TestAStatementNeedsAnObject(t *testing.T) {
	if _, err := Statement(strings.Repeat("ab", 32), PredicateSBOM, "[]"); err == nil || !strings.Contains(err.Error(), PredicateSBOM) {
		t.Errorf("error = %v", err)
	}
}
