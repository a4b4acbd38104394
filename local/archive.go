package local

import (
	"fmt"
	"net/http"
	"time"

	"dagger/mikrotik-tailscale/recipe"
)

// archive is where Debian packages come from.
type archive struct {
	address string
	// origin says it in words, for the provenance.
	origin string
	// secret marks an address that may hold a password.
	secret bool
	// old marks a state of the archive that has outlived the date in its signature.
	old bool
}

// line is the archive as a line of apt's list of sources.
func (a archive) line(suite string) string {
	options := "signed-by=" + debianKeys
	if a.old {
		options += " check-valid-until=no"
	}
	return fmt.Sprintf("deb [%s] %s %s main\n", options, a.address, suite)
}

// findArchive is the configured mirror, or the snapshot, or Debian's own archive if the snapshot can't be reached.
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
