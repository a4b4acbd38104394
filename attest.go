package main

import (
	"context"
	"fmt"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
)

// Return the SBOM of an image, in CycloneDX format.
//
// It lists every Go module, busybox, the C library, the CA certificates, and every file with its sha256.
func (m *MikrotikTailscale) Sbom(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	work, product, err := m.product(ctx, arch)
	if err != nil {
		return nil, err
	}
	text, err := attest.SBOM(ctx, m.stageRunner(work), product)
	if err != nil {
		return nil, err
	}
	return dag.File(attest.SBOMName(product.Target), text), nil
}

// build returns what provenance describes: products, and the base images with their digests.
func (m *MikrotikTailscale) build(ctx context.Context, products []assembly.Product) (attest.Build, error) {
	b := attest.Build{Builder: attest.BuilderEngine, Products: products}
	for _, base := range []recipe.Base{recipe.BaseDebian, recipe.BaseGo} {
		reference, err := m.pulled(base).ImageRef(ctx)
		if err != nil {
			return b, fmt.Errorf("reading the digest of a base image: %w", err)
		}
		b.Images = append(b.Images, reference)
	}
	return b, nil
}
