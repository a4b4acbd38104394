package signing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// pemPublic is the PEM type of a public key.
const pemPublic = "PUBLIC KEY"

// wantedPublic describes the keys that ParsePublicKey accepts.
const wantedPublic = "want an ECDSA key on P-256 in PEM, as in cosign.pub from cosign generate-key-pair"

// PublicKey is a public key that checks signatures.
type PublicKey struct{ public *ecdsa.PublicKey }

// ParsePublicKey parses a public key.
func ParsePublicKey(text string) (PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return PublicKey{}, errors.New("the public key is not PEM: " + wantedPublic)
	}
	if block.Type != pemPublic {
		return PublicKey{}, fmt.Errorf("the public key is PEM of the type %q: %s", block.Type, wantedPublic)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, errors.New("the public key is damaged: " + wantedPublic)
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("the public key is of the type %T: %s", key, wantedPublic)
	}
	if public.Curve != elliptic.P256() {
		return PublicKey{}, fmt.Errorf("the public key is on the curve %s: %s", public.Params().Name, wantedPublic)
	}
	return PublicKey{public}, nil
}

// Open returns the in-toto statement in a Sigstore bundle if the key has signed it.
func (k PublicKey) Open(text string) (statement string, err error) {
	var b bundle.Bundle
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), &b); err != nil {
		return "", fmt.Errorf("reading a signature: %w", err)
	}
	e := b.GetDsseEnvelope()
	if e.GetPayloadType() != payloadType {
		return "", fmt.Errorf("the signature is of a payload of the type %q: want %s", e.GetPayloadType(), payloadType)
	}
	sum := sha256.Sum256(dsse.PAE(e.GetPayloadType(), e.GetPayload()))
	for _, s := range e.GetSignatures() {
		if ecdsa.VerifyASN1(k.public, sum[:], s.GetSig()) {
			return string(e.GetPayload()), nil
		}
	}
	return "", errors.New("the signature is not of this key")
}

// IsStatement reports whether a text is an in-toto statement with this predicate type about this sha256, in
// hexadecimal.
func IsStatement(text, predicateType, digest string) bool {
	s := &intoto.Statement{}
	if err := protojson.Unmarshal([]byte(text), s); err != nil || s.PredicateType != predicateType {
		return false
	}
	return slices.ContainsFunc(s.Subject, func(d *intoto.ResourceDescriptor) bool { return d.GetDigest()["sha256"] == digest })
}
