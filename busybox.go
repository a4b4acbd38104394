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

// Return the corresponding source of busybox, musl and the launcher.
//
// The archive has the exact sources, their configuration, and the steps that built them, as scripts. Anyone who distributes an image distributes busybox, whose license (GPL-2.0) asks for the source. publish attaches the same archive to the index.
func (m *MikrotikTailscale) Sources(
	// Platforms of the scripts. Defaults to all.
	//
	// +optional
	platforms []string,
) (*dagger.File, error) {
	targets, c, err := m.planAll(platforms)
	if err != nil {
		return nil, err
	}
	return m.output(recipe.CorrespondingSource(targets, c), nil), nil
}

// List the commands of the shell in the image.
func (m *MikrotikTailscale) ListApplets() ([]string, error) {
	c, err := m.config()
	return c.Applets.Names(), err
}
