package main

import (
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
)

// Return the static busybox binary before it is packed.
func (m *MikrotikTailscale) Busybox(
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	p, err := m.plan(arch)
	if err != nil {
		return nil, err
	}
	return m.output(recipe.Busybox(p.Target, p.Config), nil), nil
}

// List the commands of the shell in the image.
func (m *MikrotikTailscale) ListApplets() ([]string, error) {
	c, err := m.config()
	return c.Applets.Names(), err
}
