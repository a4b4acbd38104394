//go:build built_in_roots

// This file is added to Tailscale's cmd/tailscaled. It adds CA certificates to the program, for systems
// without any. Certificates in /etc/ssl/certs, or where SSL_CERT_FILE or SSL_CERT_DIR point, override
// them.

package main

import (
	"crypto/x509"
	_ "embed"
	"encoding/asn1"
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
	// Parsing the certificates takes ten times the memory that they need afterwards, more than everything before.
	percent := debug.SetGCPercent(10)
	pool := x509.NewCertPool()
	for rest := packedRoots; len(rest) > 0; {
		var one asn1.RawValue
		next, err := asn1.Unmarshal(rest, &one)
		if err != nil {
			panic(err) // the certificates were parsed when they were packed
		}
		// This way, the pool keeps a certificate's bytes and parses them only when needed.
		pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.FullBytes}))
		rest = next
	}
	x509.SetFallbackRoots(pool)
	debug.SetGCPercent(percent)
	debug.FreeOSMemory()
}
