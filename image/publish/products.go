package publish

import (
	"context"
	"fmt"
	"os"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// Assembled returns the release of products of one configuration, without attachments.
func Assembled(products []assembly.Product) (*Release, error) {
	images := make([]Image, len(products))
	for i, p := range products {
		img, err := p.Image()
		if err != nil {
			return nil, err
		}
		images[i] = Image{Target: p.Target, Image: img}
	}
	return NewRelease(images, recipe.Annotations(products[0].Config))
}

// SourcesType is the media type of the corresponding source.
const SourcesType = "application/vnd." + recipe.Title + ".sources+gzip"

// attachSources attaches the corresponding source of a build's C programs to the index.
func (r *Release) attachSources(ctx context.Context, run assembly.StageRunner, b attest.Build) error {
	var targets []platform.Target
	for _, p := range b.Products {
		targets = append(targets, p.Target)
	}
	s := recipe.CorrespondingSource(targets, b.Products[0].Config)
	path, err := run(ctx, s)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the corresponding source: %w", err)
	}
	r.Attach(Attachment{Type: SourcesType, Name: s.Output, Text: string(content)})
	return nil
}

// Parts are the optional parts of a release.
type Parts struct {
	// Sources is true if the corresponding source of the C programs is attached to the index.
	Sources bool
	// Key signs the images, the index and their attachments. Without it, nothing is signed.
	Key *signing.Key
}

// ForBuild returns the release of a build. Each image has its SBOM and its symbols attached, and the index has the
// provenance. In the provenance, the index is named by the address.
func ForBuild(ctx context.Context, run assembly.StageRunner, b attest.Build, address string, parts Parts) (*Release, error) {
	release, err := withAttestations(ctx, run, b, address)
	if err != nil {
		return nil, err
	}
	if parts.Sources {
		if err := release.attachSources(ctx, run, b); err != nil {
			return nil, err
		}
	}
	if parts.Key != nil {
		if err := release.sign(*parts.Key); err != nil {
			return nil, err
		}
	}
	return release, nil
}

// withAttestations returns the release of a build with its attestations.
func withAttestations(ctx context.Context, run assembly.StageRunner, b attest.Build, address string) (*Release, error) {
	attestations, err := attest.ForProducts(ctx, run, b.Products)
	if err != nil {
		return nil, err
	}
	release, err := Assembled(b.Products)
	if err != nil {
		return nil, err
	}
	for i, a := range attestations {
		attached := []Attachment{{Type: attest.SBOMType, Text: a.SBOM}}
		if a.Symbols != "" {
			attached = append(attached, Attachment{Type: attest.SymbolsType, Text: a.Symbols})
		}
		release.images[i].Attached = attached
	}
	digest, err := release.Digest()
	if err != nil {
		return nil, err
	}
	provenance, err := attest.Provenance(ctx, run, b, []attest.Subject{{Name: address, SHA256: digest}})
	if err != nil {
		return nil, err
	}
	release.Attach(Attachment{Type: attest.ProvenanceType, Text: provenance})
	return release, nil
}
