package local

import (
	"fmt"
	"net/http"
	"time"

	"dagger/mikrotik-tailscale/recipe"
)

// archive is an archive of Debian packages.
type archive struct {
	address string
	// origin describes it for the provenance.
	origin string
	// secret is true if the address may contain a password.
	secret bool
	// old is true for a state of the archive whose signature has expired.
	old bool
}

// line returns the archive as a line of apt's sources.list.
func (a archive) line(suite string) string {
	options := "signed-by=" + debianKeys
	if a.old {
		options += " check-valid-until=no"
	}
	return fmt.Sprintf("deb [%s] %s %s main\n", options, a.address, suite)
}

// findArchive returns the configured mirror, or the snapshot, or Debian's own archive if the snapshot can't be
// reached.
func (d *Builder) findArchive() archive {
	if mirror := d.Addresses.DebianMirror; mirror != "" {
		return archive{address: mirror, origin: recipe.OriginMirror, secret: true}
	}
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Head(d.snapshot + "/dists/" + recipe.DebianSuite + "/InRelease")
	if err == nil {
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusOK {
			return archive{address: d.snapshot, origin: recipe.OriginSnapshot, old: true}
		}
	}
	return archive{address: recipe.DebianArchive, origin: recipe.OriginArchive}
}
