// Package attest describes the content of an image and how it was built: a CycloneDX SBOM for each platform, and one
// SLSA provenance statement for a build. Neither contains a time or the name of a machine, so the same inputs result
// in the same texts.
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

// installation has the packages that are installed in a Debian root, and the place that they came from.
type installation struct {
	origin   string
	packages []Package
}

// installed returns the packages in the Debian root of a stage.
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
			return installation{}, fmt.Errorf("reading the packages of %s: malformed line %q", s.Title(), line)
		}
		found.packages = append(found.packages, Package{fields[0], fields[1], fields[2]})
	}
	return found, nil
}

// PURL returns the package as a package URL.
func (p Package) PURL() string {
	return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", p.Name, url.QueryEscape(p.Version), p.Architecture, recipe.DebianSuite)
}

// find returns the first package that matches. The error calls it by name.
func find(all []Package, name string, matches func(Package) bool) (Package, error) {
	for _, p := range all {
		if matches(p) {
			return p, nil
		}
	}
	return Package{}, fmt.Errorf("no installed Debian package contains %s", name)
}
