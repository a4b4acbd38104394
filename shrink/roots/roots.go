// Package roots makes CA certificates small enough to be part of a program.
package roots

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// Pack gives certificates, of which the text has one or more in PEM, as DER, one behind the other, without
// what proves nothing: a root is trusted for its name and its key, and nobody checks the signature that it
// puts under itself. In place of the signature are zeros, which pack to nothing; the rest cannot be packed
// any further and is as it was.
func Pack(text []byte) ([]byte, error) {
	var all []*x509.Certificate
	for number := 1; ; number++ {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", number, err)
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, errors.New("there are no certificates")
	}
	if rest := bytes.TrimSpace(text); len(rest) > 0 {
		return nil, fmt.Errorf("behind %d certificates there is something else: %.40q", len(all), rest)
	}
	// What is alike packs best side by side.
	slices.SortStableFunc(all, func(a, b *x509.Certificate) int {
		return cmp.Or(cmp.Compare(a.PublicKeyAlgorithm, b.PublicKeyAlgorithm), bytes.Compare(a.RawSubject, b.RawSubject))
	})
	var packed []byte
	for _, certificate := range all {
		body, signed := bytes.CutSuffix(certificate.Raw, certificate.Signature)
		if !signed {
			return nil, fmt.Errorf("the certificate of %s does not end with its signature", certificate.Subject)
		}
		packed = append(append(packed, body...), make([]byte, len(certificate.Signature))...)
	}
	return packed, nil
}
