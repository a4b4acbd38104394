package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// Return the Tailscale binary (daemon and CLI) before it is packed.
func (m *MikrotikTailscale) Tailscale(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	p, err := m.resolvedPlan(ctx, arch)
	if err != nil {
		return nil, err
	}
	return m.output(p.Stripped(), nil), nil
}

// Return the symbols of the Tailscale binary, for reading crashes.
//
// The image's binary has no function names or line numbers. symbolize uses this file to add them to a crash report. With --keep-symbols, the binary has them itself, and this function returns an error.
func (m *MikrotikTailscale) Symbols(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	p, err := m.resolvedPlan(ctx, arch)
	if err != nil {
		return nil, err
	}
	s, stripped := p.Symbols()
	if !stripped {
		return nil, errors.New("with --keep-symbols, the binary has its symbols itself: there is no symbols file")
	}
	return m.output(s, nil), nil
}

// Add function names and line numbers to a crash report.
//
// The crash must come from an image with the same configuration.
func (m *MikrotikTailscale) Symbolize(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
	// Crash report, or a log that contains one.
	crash *dagger.File,
) (string, error) {
	file, err := m.Symbols(ctx, arch)
	if err != nil {
		return "", err
	}
	text, err := crash.Contents(ctx)
	if err != nil {
		return "", fmt.Errorf("reading the crash: %w", err)
	}
	const symbols = "symbols"
	if _, err := file.Export(ctx, symbols); err != nil {
		return "", err
	}
	content, err := os.ReadFile(symbols)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = pclntab.Symbolize(content, strings.NewReader(text), &out)
	return out.String(), err
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

// Return the features that Tailscale can be built with.
//
// The list comes from the source of the chosen Tailscale release.
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

// List the features that Tailscale can be built with, one per line.
//
// A * marks the features in the image. Add others with --features=+NAME.
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

// resolve runs the stage that resolves the configured features with Tailscale's source.
func (m *MikrotikTailscale) resolve(ctx context.Context, c recipe.Config) (recipe.Resolved, error) {
	text, err := m.output(recipe.ResolveFeatures(c), nil).Contents(ctx)
	if err != nil {
		return recipe.Resolved{}, fmt.Errorf("resolving the features of Tailscale %s: %w", c.TailscaleVersion, err)
	}
	r, err := recipe.Resolve(c, text)
	for _, w := range r.Warnings() {
		fmt.Fprintln(os.Stderr, "warning: "+w)
	}
	return r, err
}
