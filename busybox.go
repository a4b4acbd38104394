package main

import (
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
)

// Gives the static busybox with the configured applets, compiled and not yet packed.
func (m *MikrotikTailscale) Busybox(
	// Platform: amd64, arm64, arm or armv5, or a container platform such as linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	t, c, err := m.plan(arch)
	if err != nil {
		return nil, err
	}
	return m.output(recipe.Busybox(t, c), nil), nil
}

// Lists the applets of the shell.
func (m *MikrotikTailscale) ListApplets() ([]string, error) {
	c, err := m.config()
	return c.Applets.Names(), err
}
