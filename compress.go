package main

import (
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
)

// Packs a binary of a platform as the binaries of the image are packed.
func (m *MikrotikTailscale) Compress(
	// Platform: amd64, arm64, arm or armv5, or a container platform such as linux/arm/v7.
	arch string,
	// The static binary to pack.
	binary *dagger.File,
) (*dagger.File, error) {
	t, c, err := m.plan(arch)
	if err != nil {
		return nil, err
	}
	return m.output(recipe.Compress(t, c, nil), binary), nil
}
