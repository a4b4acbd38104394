package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/semaphore"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/recipe/address"
)

// Return the image's root filesystem, with its permissions and times.
func (m *MikrotikTailscale) Rootfs(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
) (*dagger.Directory, error) {
	// The root filesystem that the image is built from has neither: the image's layer sets them.
	image, err := m.Build(ctx, arch)
	if err != nil {
		return nil, err
	}
	return image.Rootfs(), nil
}

// Build the image and return it as a container.
//
// Open a shell in it with terminal, or read its files with rootfs. To put the image on a router, use tarball or publish of this module: as-tarball and publish of the container write the engine's own OCI image, which isn't reproducible and which RouterOS doesn't import from a file.
func (m *MikrotikTailscale) Build(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
) (*dagger.Container, error) {
	p, err := m.plan(arch)
	if err != nil {
		return nil, err
	}
	tarball, err := m.Tarball(ctx, arch)
	if err != nil {
		return nil, err
	}
	return dag.Container(dagger.ContainerOpts{Platform: dagger.Platform(p.Target.Platform())}).Import(tarball), nil
}

// Build the image and return a tarball for RouterOS.
//
// Export it, copy it to the router, and import it with /container/add file=. The same inputs give the same bytes, here and with the command that needs no engine.
func (m *MikrotikTailscale) Tarball(
	ctx context.Context,
	// Platform: amd64, arm64, arm, armv5, or another name such as x86 or linux/arm/v7.
	arch string,
) (*dagger.File, error) {
	work, product, err := m.product(ctx, arch)
	if err != nil {
		return nil, err
	}
	path, _, err := product.Write(ctx, work)
	if err != nil {
		return nil, err
	}
	return dag.CurrentModule().WorkdirFile(path), nil
}

// Build the tarballs of all platforms, with SBOMs and provenance.
//
// The directory also contains the symbols of each platform and SHA256SUMS.
func (m *MikrotikTailscale) Tarballs(
	ctx context.Context,
	// Platforms to build for. Defaults to all.
	//
	// +optional
	platforms []string,
) (*dagger.Directory, error) {
	work, products, err := m.products(ctx, platforms)
	if err != nil {
		return nil, err
	}
	dir, subjects := dag.Directory(), make([]attest.Subject, len(products))
	for i, p := range products {
		path, tarball, err := p.Write(ctx, work)
		if err != nil {
			return nil, err
		}
		subjects[i] = attest.Subject{Name: filepath.Base(path), SHA256: tarball.SHA256}
		dir = dir.WithFile(subjects[i].Name, dag.CurrentModule().WorkdirFile(path))
	}
	b, err := m.build(ctx, products)
	if err != nil {
		return nil, err
	}
	beside, err := attest.Files(ctx, m.stageRunner(work), b, subjects)
	if err != nil {
		return nil, err
	}
	for _, f := range beside {
		path := filepath.Join(work, f.Name)
		if err := os.WriteFile(path, []byte(f.Content), 0o644); err != nil {
			return nil, err
		}
		dir = dir.WithFile(f.Name, dag.CurrentModule().WorkdirFile(path))
	}
	return dir, nil
}

// products builds the root filesystems of several platforms at the same time, or of all platforms if none is named.
// It returns them with the directory that they are in. The first failure stops the other platforms.
func (m *MikrotikTailscale) products(ctx context.Context, platforms []string) (work string, products []assembly.Product, err error) {
	targets, c, err := m.planAll(platforms)
	if err != nil {
		return "", nil, err
	}
	if work, err = os.MkdirTemp(".", "work-*"); err != nil {
		return "", nil, err
	}
	extra := ""
	if m.Extra != nil {
		extra = filepath.Join(work, "extra")
		if _, err := m.Extra.Export(ctx, extra); err != nil {
			return "", nil, fmt.Errorf("reading the extra directory: %w", err)
		}
		if err := assembly.CheckFiles(extra, targets, c, work); err != nil {
			// The path in the error is not one that the user gave.
			return "", nil, errors.New(strings.ReplaceAll(err.Error(), extra, "given"))
		}
	}
	resolve := func(ctx context.Context) (recipe.Resolved, error) { return m.resolve(ctx, c) }
	products, err = assembly.MakeAll(ctx, m.stageRunner(work), targets, c, resolve, extra, work)
	return work, products, err
}

// product is like products, for one platform.
func (m *MikrotikTailscale) product(ctx context.Context, arch string) (work string, _ assembly.Product, err error) {
	if _, err := m.plan(arch); err != nil { // products would accept "all"
		return "", assembly.Product{}, err
	}
	work, products, err := m.products(ctx, []string{arch})
	if err != nil {
		return "", assembly.Product{}, err
	}
	return work, products[0], nil
}

// stageRunner returns a function that runs a stage and exports its output into a directory of the module's container.
func (m *MikrotikTailscale) stageRunner(work string) assembly.StageRunner {
	// The Go compiler uses every processor, and most other steps use one. More steps than processors slow each other
	// down.
	places := max(2, int64(runtime.NumCPU()))
	q := queue{all: semaphore.NewWeighted(places), compilers: semaphore.NewWeighted(places / 2)}
	return func(ctx context.Context, s recipe.Stage) (string, error) {
		if err := m.run(ctx, s, q); err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp(work, "stage-*")
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, s.Output)
		if _, err := m.output(s, nil).Export(ctx, path); err != nil {
			return "", fmt.Errorf("%s: %w", s.Title(), err)
		}
		return path, nil
	}
}

// queue limits how many stages run at the same time.
type queue struct{ all, compilers *semaphore.Weighted }

// run waits for a free slot and then runs the stage. Inputs of a Go stage run in the same slot.
func (m *MikrotikTailscale) run(ctx context.Context, s recipe.Stage, q queue) error {
	places := []*semaphore.Weighted{q.all}
	if s.Base == recipe.BaseGo {
		places = []*semaphore.Weighted{q.compilers, q.all}
	} else {
		for _, in := range s.Inputs {
			if in.Stage == nil {
				continue
			}
			if err := m.run(ctx, *in.Stage, q); err != nil {
				return err
			}
		}
	}
	for _, p := range places {
		if err := p.Acquire(ctx, 1); err != nil {
			return fmt.Errorf("%s: %w", s.Title(), err)
		}
		defer p.Release(1)
	}
	if _, err := m.output(s, nil).Sync(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.Title(), m.withOutput(ctx, err))
	}
	return nil
}

// withOutput adds the end of a failed step's output to its error, without passwords.
func (m *MikrotikTailscale) withOutput(ctx context.Context, err error) error {
	const most = 2000
	step, ok := errors.AsType[*dagger.ExecError](err)
	if !ok {
		return err
	}
	addresses, unreadable := m.addresses(ctx)
	if unreadable != nil {
		return errors.Join(err, unreadable)
	}
	printed := address.Hide(strings.TrimSpace(step.Stdout+"\n"+step.Stderr), addresses.All()...)
	return fmt.Errorf("%w:\n%s", err, printed[max(0, len(printed)-most):])
}
