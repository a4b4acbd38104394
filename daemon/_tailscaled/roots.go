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
	"runtime/debug"
	"slices"
	"strings"
)

//go:embed roots.der
var packedRoots []byte

// commandsWithoutTLS are the commands of the command line tool that open no TLS connection, whichever features are
// built in: they only speak with the daemon. They start several times faster without the certificates. All
// other commands get them, since a command that lacks them can't log in: with the feature oauthkey it is
// "up" that opens a connection, with identityfederation "login", with clientupdate "update" and "version".
var commandsWithoutTLS = []string{
	"dns", "down", "exit-node", "get", "ip", "licenses", "logout", "metrics", "nc", "ping", "set", "status", "switch",
	"wait", "whoami", "whois",
}

// cliCommand returns the first of the command line tool's arguments that is neither a flag nor a flag's value.
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
	// Reading them takes ten times the memory that they stay in, more than all else until here.
	percent := debug.SetGCPercent(10)
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
	debug.SetGCPercent(percent)
	debug.FreeOSMemory()
}
