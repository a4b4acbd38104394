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

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/recipe"
)

// Package is an installed Debian package.
type Package struct{ Name, Architecture, Version string }

// installation is what is installed in a Debian root, and where it came from.
type installation struct {
	origin   string
	packages []Package
}

// installed lists what is installed where a stage runs.
func installed(ctx context.Context, run assembly.StageRunner, s recipe.Stage) (installation, error) {
	path, err := run(ctx, recipe.Installed(s))
	if err != nil {
		return installation{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return installation{}, fmt.Errorf("reading the packages of %s: %w", s.Title(), err)
	}
	origin, list, _ := strings.Cut(string(text), "\n")
	found := installation{origin: origin}
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return installation{}, fmt.Errorf("reading the packages of %s: the line %q is not understood", s.Title(), line)
		}
		found.packages = append(found.packages, Package{fields[0], fields[1], fields[2]})
	}
	return found, nil
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
