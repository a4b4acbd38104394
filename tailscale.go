package main

import (
	"context"
	"fmt"
	"strings"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
)

// Gives Tailscale's daemon and command line tool as one binary, as it is before it is packed.
func (m *MikrotikTailscale) Tailscale(
	ctx context.Context,
	// Platform: amd64, arm64, arm or armv5, or a container platform such as linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	t, c, r, err := m.resolved(ctx, arch)
	if err != nil {
		return nil, err
	}
	return m.output(recipe.Program(t, c, r), nil), nil
}

// Feature is something that Tailscale can be built with or without.
type Feature struct {
	// Name that the option features takes.
	Name string
	// What it is, in Tailscale's own words.
	Description string
	// Whether the image has it.
	Included bool
}

// Gives the features that the Tailscale release can be built with.
func (m *MikrotikTailscale) Features(ctx context.Context) ([]*Feature, error) {
	c, err := m.config()
	if err != nil {
		return nil, err
	}
	r, err := m.resolve(ctx, c)
	if err != nil {
		return nil, err
	}
	var all []*Feature
	for _, k := range r.Known {
		all = append(all, &Feature{Name: k.Name, Description: k.Description, Included: r.Has(k.Name)})
	}
	return all, nil
}

// Lists the features that the Tailscale release can be built with, one a line: those in the
// image with a *.
func (m *MikrotikTailscale) ListFeatures(ctx context.Context) (string, error) {
	all, err := m.Features(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, f := range all {
		mark := " "
		if f.Included {
			mark = "*"
		}
		fmt.Fprintf(&b, "%s %-20s %s\n", mark, f.Name, f.Description)
	}
	return b.String(), nil
}

// resolve asks Tailscale's source what the configured features mean.
func (m *MikrotikTailscale) resolve(ctx context.Context, c recipe.Config) (recipe.Resolved, error) {
	text, err := m.output(recipe.ResolveFeatures(c), nil).Contents(ctx)
	if err != nil {
		return recipe.Resolved{}, fmt.Errorf("resolving the features of Tailscale %s: %w", c.TailscaleVersion, err)
	}
	return recipe.Resolve(c, text)
}
