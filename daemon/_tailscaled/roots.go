//go:build built_in_roots

// This file is added to Tailscale's cmd/tailscaled. It adds CA certificates to the program, for systems
// without any. Certificates in /etc/ssl/certs, or where SSL_CERT_FILE or SSL_CERT_DIR point, override
// them.

package main

import (
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

//go:embed roots.der
var packedRoots []byte

// commandsWithoutTLS are the CLI commands that only talk to the daemon and never open a TLS connection, with any
// features. They start several times faster without the certificates. All other commands get the certificates,
// because a command without them can't log in: connections are opened by "up" with the feature oauthkey, by "login"
// with identityfederation, and by "update" and "version" with clientupdate.
var commandsWithoutTLS = []string{
	"dns", "down", "exit-node", "get", "ip", "licenses", "logout", "metrics", "nc", "ping", "set", "status", "switch",
	"wait", "whoami", "whois",
}

// cliCommand returns the first of the CLI's arguments that is neither a flag nor a flag's value.
func cliCommand(args []string) string {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-socket" || a == "--socket": // the only global flag that takes a value
			i++
		case !strings.HasPrefix(a, "-"):
			return a
		}
	}
	return ""
}

func init() {
	if filepath.Base(os.Args[0]) == "tailscale" && slices.Contains(commandsWithoutTLS, cliCommand(os.Args[1:])) {
		return
	}
	pool := x509.NewCertPool()
	lazy, isLazy := any(pool).(lazyPool)
	percent := 0
	if !isLazy {
		// Parsing the certificates takes ten times the memory that they need afterwards, more than everything before.
		percent = debug.SetGCPercent(10)
	}
	for rest := packedRoots; len(rest) > 0; {
		var c certificate
		c, rest = nextCertificate(rest)
		if isLazy {
			lazy.AddLazily(sha256.Sum224(c.start), c.subject, func() (*x509.Certificate, error) { return x509.ParseCertificate(c.whole()) })
		} else {
			pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.whole()}))
		}
	}
	x509.SetFallbackRoots(pool)
	if !isLazy {
		debug.SetGCPercent(percent)
		debug.FreeOSMemory()
	}
}

// lazyPool is a pool to which a certificate can be added without parsing it, and without a copy of its bytes. The build
// adds this method to Go's pools, unless it leaves Go's library unchanged.
type lazyPool interface {
	AddLazily(sum [sha256.Size224]byte, subject string, parse func() (*x509.Certificate, error))
}

// certificate is a packed certificate.
type certificate struct {
	subject string // in DER
	start   []byte // without the signature at the end
	size    int    // with the signature
}

// whole returns the certificate with zeros as its signature, which nobody checks.
func (c certificate) whole() []byte {
	return append(c.start[:len(c.start):len(c.start)], make([]byte, c.size-len(c.start))...)
}

// nextCertificate returns the first certificate of a list, and the rest of the list.
func nextCertificate(list []byte) (c certificate, rest []byte) {
	body, size := header(list)
	at, end := header(list[body:])
	at, end = body+at, body+end
	// Number, algorithm, issuer and validity come before the subject. Before them is the version, except in version 1.
	skip := 4
	if list[at]&0x80 != 0 { // its class is context-specific
		skip++
	}
	for range skip {
		_, n := header(list[at:])
		at += n
	}
	_, n := header(list[at:])
	c = certificate{subject: string(list[at : at+n]), size: size}
	_, n = header(list[end:]) // the algorithm
	bits, _ := header(list[end+n:])
	signature := end + n + bits + 1 // the number of unused bits comes first
	c.start = list[:signature]
	return c, list[signature:]
}

// header returns where the content of an element in DER begins and ends. The certificates were parsed when they were
// packed.
func header(element []byte) (begin, end int) {
	length := int(element[1])
	if length < 0x80 {
		return 2, 2 + length
	}
	begin = 2 + length&0x7f
	length = 0
	for _, b := range element[2:begin] {
		length = length<<8 | int(b)
	}
	return begin, begin + length
}
