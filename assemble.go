package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sourcegraph/conc/pool"

	"dagger/mikrotik-tailscale/assembly"
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/verify"
)

// Gives the image's root file system.
func (m *MikrotikTailscale) Rootfs(
	ctx context.Context,
	// Platform: amd64, arm64, arm or armv5, or a container platform such as linux/arm/v7.
	arch string,
) (*dagger.Directory, error) {
	t, c, r, err := m.resolved(ctx, arch)
	if err != nil {
		return nil, err
	}
	return m.rootfs(t, c, r)
}

// rootfs makes all links in one step, where one step a link would be slow.
func (m *MikrotikTailscale) rootfs(t platform.Target, c recipe.Config, r recipe.Resolved) (*dagger.Directory, error) {
	entries := recipe.Rootfs(t, c, r)
	skeleton, err := os.MkdirTemp(".", "skeleton-"+t.Name+"-*")
	if err != nil {
		return nil, fmt.Errorf("writing the root file system: %w", err)
	}
	if err := assembly.Skeleton(skeleton, entries); err != nil {
		return nil, err
	}
	dir := dag.CurrentModule().Workdir(skeleton)
	for _, e := range entries {
		if e.Stage == nil {
			continue
		}
		permissions := 0o644
		if e.Executable {
			permissions = 0o755
		}
		dir = dir.WithFile(e.Path, m.output(*e.Stage, nil), dagger.DirectoryWithFileOpts{Permissions: permissions})
	}
	return dir, nil
}

// Gives the assembled image as a container.
func (m *MikrotikTailscale) Build(
	ctx context.Context,
	// Platform: amd64, arm64, arm or armv5, or a container platform such as linux/arm/v7.
	arch string,
) (*dagger.Container, error) {
	t, _, err := m.plan(arch)
	if err != nil {
		return nil, err
	}
	tarball, err := m.Tarball(ctx, arch)
	if err != nil {
		return nil, err
	}
	return dag.Container(dagger.ContainerOpts{Platform: dagger.Platform(t.Platform())}).Import(tarball), nil
}

// Gives the image as a tarball that RouterOS takes with /container/add file=...
//
// The same inputs give the same bytes, here and with the engine-free command.
func (m *MikrotikTailscale) Tarball(
	ctx context.Context,
	// Platform: amd64, arm64, arm or armv5, or a container platform such as linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	t, c, r, err := m.resolved(ctx, arch)
	if err != nil {
		return nil, err
	}
	path, _, err := m.tarball(ctx, t, c, r)
	if err != nil {
		return nil, fmt.Errorf("building for %s: %w", t, err)
	}
	return dag.CurrentModule().WorkdirFile(path), nil
}

// Gives the tarballs of all platforms, built at the same time, with their SHA256SUMS.
func (m *MikrotikTailscale) Tarballs(
	ctx context.Context,
	// Platforms to build for; all when left out.
	//
	// +optional
	platforms []string,
) (*dagger.Directory, error) {
	targets, c, err := m.planAll(platforms)
	if err != nil {
		return nil, err
	}
	r, err := m.resolve(ctx, c)
	if err != nil {
		return nil, err
	}
	paths, sums := make([]string, len(targets)), make([]string, len(targets))
	err = each(targets, func(i int, t platform.Target) error {
		path, tarball, err := m.tarball(ctx, t, c, r)
		paths[i], sums[i] = path, tarball.SHA256
		return err
	})
	if err != nil {
		return nil, err
	}
	dir, names := dag.Directory(), make([]string, len(targets))
	for i, t := range targets {
		names[i] = assembly.TarballName(t)
		dir = dir.WithFile(names[i], dag.CurrentModule().WorkdirFile(paths[i]))
	}
	return dir.WithNewFile(assembly.ChecksumsName, assembly.Checksums(names, sums)), nil
}

// each does work for all targets at the same time. The error of one does not hide another's.
func each(targets []platform.Target, work func(int, platform.Target) error) error {
	group := pool.New().WithErrors()
	for i, t := range targets {
		group.Go(func() error {
			if err := work(i, t); err != nil {
				return fmt.Errorf("building for %s: %w", t, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// tarball writes a platform's tarball beside the module's program and gives its path.
func (m *MikrotikTailscale) tarball(ctx context.Context, t platform.Target, c recipe.Config, r recipe.Resolved) (string, assembly.Tarball, error) {
	work, rootfs, err := m.exported(ctx, t, c, r)
	if err != nil {
		return "", assembly.Tarball{}, err
	}
	path := filepath.Join(work, assembly.TarballName(t))
	written, err := assembly.Write(ctx, path, rootfs, recipe.ImageConfig(t, c, r), c.Tag, c.Epoch)
	return path, written, err
}

// exported brings a platform's root file system beside the module's program, into a folder to
// work in, once it has found the programs in it to be right.
func (m *MikrotikTailscale) exported(ctx context.Context, t platform.Target, c recipe.Config, r recipe.Resolved) (work, rootfs string, err error) {
	dir, err := m.rootfs(t, c, r)
	if err != nil {
		return "", "", err
	}
	work, err = os.MkdirTemp(".", "image-"+t.Name+"-*")
	if err != nil {
		return "", "", err
	}
	for _, e := range recipe.Rootfs(t, c, r) {
		if s, ok := e.Linked(); ok {
			binary := filepath.Join(work, s.Output)
			if _, err := m.output(s, nil).Export(ctx, binary); err != nil {
				return "", "", err
			}
			if err := verify.Binary(binary, t); err != nil {
				return "", "", fmt.Errorf("checking what %s gave: %w", s.Title(), err)
			}
		}
	}
	rootfs = filepath.Join(work, "rootfs")
	_, err = dir.Export(ctx, rootfs)
	return work, rootfs, err
}
