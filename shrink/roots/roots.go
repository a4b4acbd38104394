// Package roots shrinks CA certificates, so that they can be part of a program.
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

// Pack returns the certificates in a PEM text as concatenated DER, without the signatures at their ends. Programs
// trust a root certificate for its name and key, and don't check its own signature. The rest can't be compressed
// further, and doesn't change. Each certificate still says how long it is with its signature.
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
		return nil, errors.New("no certificates")
	}
	if rest := bytes.TrimSpace(text); len(rest) > 0 {
		return nil, fmt.Errorf("unexpected text after %d certificates: %.40q", len(all), rest)
	}
	// Similar certificates compress best side by side.
	slices.SortStableFunc(all, func(a, b *x509.Certificate) int {
		return cmp.Or(cmp.Compare(a.PublicKeyAlgorithm, b.PublicKeyAlgorithm), bytes.Compare(a.RawSubject, b.RawSubject))
	})
	var packed []byte
	for _, certificate := range all {
		body, signed := bytes.CutSuffix(certificate.Raw, certificate.Signature)
		if !signed {
			return nil, fmt.Errorf("the certificate of %s does not end with its signature", certificate.Subject)
		}
		packed = append(packed, body...)
	}
	return packed, nil
}
