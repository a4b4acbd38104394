package signing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
)

// publicPEM encodes a public key like cosign and openssl.
func publicPEM(t *testing.T, key any) string {
	t.Helper()
	content, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM(pemPublic, content)
}

func TestOnlyTheSigningKeyOpensABundle(t *testing.T) {
	private := newKey(t, elliptic.P256())
	key, err := ParseKey(inPEM(pemPKCS8, pkcs8(t, private)), "")
	if err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("ab", 32)
	statement, err := Statement(digest, PredicateSignature, "")
	if err != nil {
		t.Fatal(err)
	}
	good, err := key.Bundle(statement)
	if err != nil {
		t.Fatal(err)
	}
	public := func(k *ecdsa.PrivateKey) PublicKey {
		p, err := ParsePublicKey(publicPEM(t, &k.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	mine, other := public(private), public(newKey(t, elliptic.P256()))
	got, err := mine.Open(good)
	if err != nil || got != statement {
		t.Errorf("Open = %q (%v); want %q", got, err, statement)
	}
	if !IsStatement(got, PredicateSignature, digest) || IsStatement(got, PredicateSBOM, digest) || IsStatement(got, PredicateSignature, strings.Repeat("cd", 32)) || IsStatement("{", "", "") {
		t.Error("IsStatement accepts another statement")
	}

	inBase64 := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	changed := strings.Replace(good, inBase64(statement), inBase64(statement+" "), 1)
	otherType := strings.Replace(good, payloadType, "text/plain", 1)
	for name, c := range map[string]struct {
		key          PublicKey
		bundle, want string
	}{
		"another key":       {other, good, "the signature is not of this key"},
		"another statement": {mine, changed, "the signature is not of this key"},
		"another type":      {mine, otherType, `payload of the type "text/plain"`},
		"no signature":      {mine, `{"dsseEnvelope":{"payloadType":"` + payloadType + `"}}`, "the signature is not of this key"},
		"another bundle":    {mine, `{"messageSignature":{}}`, `payload of the type ""`},
		"no bundle":         {mine, "nothing", "reading a signature"},
	} {
		if got, err := c.key.Open(c.bundle); err == nil || got != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: opened is %q, error = %v; want it to say %q", name, got, err, c.want)
		}
	}
}

func TestOtherPublicKeysAreRefused(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"no PEM":        {"cosign.pub", "the public key is not PEM: want an ECDSA key on P-256"},
		"a private key": {inPEM(pemPKCS8, pkcs8(t, newKey(t, elliptic.P256()))), `the public key is PEM of the type "PRIVATE KEY"`},
		"damaged":       {inPEM(pemPublic, []byte("nothing")), "the public key is damaged"},
		"RSA":           {publicPEM(t, &rsaKey.PublicKey), "the public key is of the type *rsa.PublicKey"},
		"another curve": {publicPEM(t, &newKey(t, elliptic.P384()).PublicKey), "the public key is on the curve P-384"},
	} {
		if _, err := ParsePublicKey(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v; want it to say %q", name, err, c.want)
		}
	}
}
