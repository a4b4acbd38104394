//go:build built_in_roots

// This file is added to Tailscale's cmd/tailscaled. It gives the program CA certificates of its own, for
// a system that has none. What stands below /etc/ssl/certs, or where SSL_CERT_FILE or SSL_CERT_DIR say,
// takes their place.

package main

import (
	"crypto/x509"
	_ "embed"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
)

//go:embed roots.der
var packedRoots []byte

// usesTLS are the commands of the command line tool that open TLS connections. All others only speak
// with the daemon, and reading the certificates would take most of their time.
var usesTLS = []string{"debug", "netcheck"}

func init() {
	if filepath.Base(os.Args[0]) == "tailscale" && !slices.ContainsFunc(os.Args, func(a string) bool { return slices.Contains(usesTLS, a) }) {
		return
	}
	pool := x509.NewCertPool()
	for rest := packedRoots; len(rest) > 0; {
		var one asn1.RawValue
		next, err := asn1.Unmarshal(rest, &one)
		if err != nil {
			panic(err) // the certificates were read when they were packed
		}
		// In this way the pool keeps a certificate's bytes, and reads them when it needs them.
		pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.FullBytes}))
		rest = next
	}
	x509.SetFallbackRoots(pool)
}
