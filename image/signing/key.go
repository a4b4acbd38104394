// Package signing signs statements about images with a private key, in the form that cosign verifies.
package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// The PEM types of private keys.
const (
	pemSigstore = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemCosign   = "ENCRYPTED COSIGN PRIVATE KEY"
	pemPKCS8    = "PRIVATE KEY"
	pemEC       = "EC PRIVATE KEY"
)

// wanted describes the keys that ParseKey accepts.
const wanted = "want an ECDSA key on P-256 in PEM, as cosign generate-key-pair and openssl write it"

// Key is a private key that signs.
type Key struct {
	private *ecdsa.PrivateKey
	// hint names the key in signatures. It is the sha256 of the public key.
	hint string
}

// Load is like ParseKey, but returns nil if there is no key.
func Load(text, password string) (*Key, error) {
	switch {
	case text == "" && password == "":
		return nil, nil
	case text == "":
		return nil, errors.New("the signing key is missing, only its password is set: want both")
	}
	k, err := ParseKey(text, password)
	return &k, err
}

// ParseKey parses a private key: an encrypted one from "cosign generate-key-pair" with its password, or an
// unencrypted one. No error repeats any part of the key or the password.
func ParseKey(text, password string) (Key, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return Key{}, errors.New("the signing key is not PEM: " + wanted)
	}
	private, err := parse(block, password)
	if err != nil {
		return Key{}, err
	}
	if private.Curve != elliptic.P256() {
		return Key{}, fmt.Errorf("the signing key is on the curve %s: %s", private.Params().Name, wanted)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return Key{}, fmt.Errorf("reading the signing key: %w", err)
	}
	sum := sha256.Sum256(public)
	return Key{private, base64.StdEncoding.EncodeToString(sum[:])}, nil
}

func parse(block *pem.Block, password string) (*ecdsa.PrivateKey, error) {
	content := block.Bytes
	switch block.Type {
	case pemSigstore, pemCosign:
		plain, err := encrypted.Decrypt(content, []byte(password))
		if err != nil && password == "" {
			return nil, errors.New("the signing key is encrypted: its password is missing")
		}
		if err != nil {
			return nil, errors.New("wrong password for the signing key")
		}
		content = plain
	case pemPKCS8, pemEC:
		if password != "" {
			return nil, errors.New("the signing key is not encrypted, but has a password: want none")
		}
	default:
		return nil, fmt.Errorf("the signing key is PEM of the type %q: %s", block.Type, wanted)
	}
	if block.Type == pemEC {
		key, err := x509.ParseECPrivateKey(content)
		if err != nil {
			return nil, errors.New("the signing key is damaged: " + wanted)
		}
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(content)
	if err != nil {
		return nil, errors.New("the signing key is damaged: " + wanted)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the signing key is of the type %T: %s", key, wanted)
	}
	return private, nil
}

// sign signs data. Without randomness, the same data always has the same signature (RFC 6979). Publishing again then
// pushes nothing new.
func (k Key) sign(data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return k.private.Sign(nil, sum[:], crypto.SHA256)
}
