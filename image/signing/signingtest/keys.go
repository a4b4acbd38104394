// Package signingtest makes keys for tests.
package signingtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"dagger/mikrotik-tailscale/image/signing"
)

// Keys returns a new key pair.
func Keys(t testing.TB) (signing.Key, signing.PublicKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	content, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.ParseKey(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: content})), "")
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.ParsePublicKey(PublicPEM(t, &private.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

// PublicPEM encodes a public key like cosign.pub.
func PublicPEM(t testing.TB, key *ecdsa.PublicKey) string {
	t.Helper()
	content, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: content}))
}
