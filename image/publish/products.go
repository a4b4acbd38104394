package publish

import (
	"context"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/recipe"
)

// Of makes the release of a build. Each image has its SBOM and its symbols attached, and the index has the
// provenance, which calls the index by the address.
func Of(ctx context.Context, run assembly.StageRunner, b attest.Build, address string) (*Release, error) {
	attestations, err := attest.ForProducts(ctx, run, b.Products)
	if err != nil {
		return nil, err
	}
	images := make([]Image, len(b.Products))
	for i, p := range b.Products {
		img, err := p.Image()
		if err != nil {
			return nil, err
		}
		images[i] = Image{Target: p.Target, Image: img, Attached: []Attachment{{Type: attest.SBOMType, Text: attestations[i].SBOM}}}
		if attestations[i].Symbols != "" {
			images[i].Attached = append(images[i].Attached, Attachment{Type: attest.SymbolsType, Text: attestations[i].Symbols})
		}
	}
	release, err := NewRelease(images, recipe.Annotations(b.Products[0].Config))
	if err != nil {
		return nil, err
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
