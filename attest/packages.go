// Package attest tells what is in an image and how it was made: a software bill of materials in
// CycloneDX for each platform, and one provenance statement in the form of SLSA for a build.
// Neither has a time or a machine's name in it: the same inputs give the same texts.
package attest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"dagger/mikrotik-tailscale/assembly"
	"dagger/mikrotik-tailscale/recipe"
)

// Package is an installed Debian package.
type Package struct{ Name, Architecture, Version string }

// packages lists what is installed where a stage runs.
func packages(ctx context.Context, outputs assembly.Outputs, s recipe.Stage) ([]Package, error) {
	path, err := outputs(ctx, recipe.Installed(s))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the packages of %s: %w", s.Title(), err)
	}
	var all []Package
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("reading the packages of %s: the line %q is not understood", s.Title(), line)
		}
		all = append(all, Package{fields[0], fields[1], fields[2]})
	}
	return all, nil
}

// PURL is the package's name in the form of a package URL.
func (p Package) PURL() string {
	return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", p.Name, url.QueryEscape(p.Version), p.Architecture, recipe.DebianSuite)
}

// find gives the one package that is asked for.
func find(all []Package, what string, is func(Package) bool) (Package, error) {
	for _, p := range all {
		if is(p) {
			return p, nil
		}
	}
	return Package{}, fmt.Errorf("no Debian package of %s is among those that were installed", what)
}
