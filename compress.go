package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// Pack a static binary like the binaries in the image.
//
// Returns an error if a router of the platform can't run the binary.
func (m *MikrotikTailscale) Compress(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
	// Static binary to pack.
	binary *dagger.File,
) (*dagger.File, error) {
	p, err := m.plan(arch)
	if err != nil {
		return nil, err
	}
	if err := checkBinary(ctx, binary, p.Target); err != nil {
		return nil, err
	}
	return m.output(recipe.Compress(p.Target, p.Config, nil), binary), nil
}

// checkBinary returns an error if the target platform can't run the binary. The error uses the caller's file name.
func checkBinary(ctx context.Context, binary *dagger.File, t platform.Target) error {
	name, err := binary.Name(ctx)
	if err != nil {
		return fmt.Errorf("reading the binary: %w", err)
	}
	work, err := os.MkdirTemp(".", "work-*")
	if err != nil {
		return err
	}
	path := filepath.Join(work, name)
	if _, err := binary.Export(ctx, path); err != nil {
		return fmt.Errorf("reading the binary %s: %w", name, err)
	}
	if err := verify.Binary(path, t); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), path, name))
	}
	return nil
}
