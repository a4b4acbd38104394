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

// The kinds of PEM that hold a private key.
const (
	pemSigstore = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemCosign   = "ENCRYPTED COSIGN PRIVATE KEY"
	pemPKCS8    = "PRIVATE KEY"
	pemEC       = "EC PRIVATE KEY"
)

// wanted says what ParseKey takes.
const wanted = "want an ECDSA key on P-256 in PEM, as cosign generate-key-pair and openssl write it"

// Key is a private key that signs.
type Key struct {
	private *ecdsa.PrivateKey
	// hint is the name that a signature has for the key: the sha256 of the public one.
	hint string
}

// Load is ParseKey for a key that may be left out: it returns nil without one.
func Load(text, password string) (*Key, error) {
	switch {
	case text == "" && password == "":
		return nil, nil
	case text == "":
		return nil, errors.New("the password of the signing key has no key: give both")
	}
	k, err := ParseKey(text, password)
	return &k, err
}

// ParseKey reads a private key: an encrypted one from "cosign generate-key-pair" with its password, or a plain one.
// No error repeats a part of the key or the password.
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
			return nil, errors.New("the signing key is encrypted: give its password, too")
		}
		if err != nil {
			return nil, errors.New("the password does not open the signing key")
		}
		content = plain
	case pemPKCS8, pemEC:
		if password != "" {
			return nil, errors.New("the signing key is not encrypted: give no password for it")
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

// sign signs data. Without randomness, the same data always has the same signature (RFC 6979), so that publishing
// again pushes nothing new.
func (k Key) sign(data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return k.private.Sign(nil, sum[:], crypto.SHA256)
}
