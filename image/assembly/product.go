package assembly

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sourcegraph/conc"

	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// Outputs runs a stage and gives the path of the file that it made. Package driver has one, and
// the Dagger module another.
type Outputs func(context.Context, recipe.Stage) (string, error)

// Product is the root file system of one platform, checked, and what it is made of.
type Product struct {
	Target   platform.Target
	Config   recipe.Config
	Resolved recipe.Resolved
	// Rootfs is the directory that holds it.
	Rootfs string
	// Programs are the files of the linked programs, before they were packed, by component.
	Programs map[string]string
}

// MakeAll makes the products of several platforms at the same time, each below directory. What no feature
// changes is begun before resolve has told what there is to build with. One platform's error does not
// hide another's.
func MakeAll(ctx context.Context, outputs Outputs, targets []platform.Target, c recipe.Config, resolve func(context.Context) (recipe.Resolved, error), extra, directory string) ([]Product, error) {
	ctx, cancel := context.WithCancel(ctx)
	var early, group conc.WaitGroup
	defer early.Wait()
	defer cancel()
	for _, t := range targets {
		shell := recipe.PackedBusybox(t, c)
		// Make comes upon the same error, and tells it.
		early.Go(func() { _, _ = outputs(ctx, shell) })
	}
	r, err := resolve(ctx)
	if err != nil {
		return nil, err
	}
	products, errs := make([]Product, len(targets)), make([]error, len(targets))
	for i, t := range targets {
		group.Go(func() {
			products[i], errs[i] = Make(ctx, outputs, t, c, r, extra, filepath.Join(directory, "rootfs-"+t.Name))
			if errs[i] != nil {
				errs[i] = fmt.Errorf("building for %s: %w", t, errs[i])
			}
		})
	}
	group.Wait()
	return products, errors.Join(errs...)
}

// Make runs the stages of a platform at the same time, finds their programs to be right, and puts
// the root file system into the directory dir, which must not be there. The files of the directory extra,
// where one is named, are merged into it.
func Make(ctx context.Context, outputs Outputs, t platform.Target, c recipe.Config, r recipe.Resolved, extra, dir string) (Product, error) {
	p := Product{Target: t, Config: c, Resolved: r, Rootfs: dir, Programs: map[string]string{}}
	entries := recipe.Rootfs(t, c, r)
	files, err := run(ctx, outputs, entries, func(e recipe.Entry) *recipe.Stage { return e.Stage })
	if err != nil {
		return p, err
	}
	linked, err := run(ctx, outputs, entries, func(e recipe.Entry) *recipe.Stage { return e.Program })
	if err != nil {
		return p, err
	}
	for _, e := range entries {
		program, ok := linked[e.Path]
		if !ok {
			continue
		}
		if err := verify.Built(program, t); err != nil {
			return p, fmt.Errorf("checking what %s gave: %w", e.Component(), err)
		}
		p.Programs[e.Component()] = program
	}
	if err := Rootfs(dir, entries, func(path string) string { return files[path] }); err != nil {
		return p, err
	}
	if extra != "" {
		if err := Merge(dir, extra); err != nil {
			return p, err
		}
	}
	return p, nil
}

// run gives the outputs of one stage for each entry that has one, by the entry's path.
func run(ctx context.Context, outputs Outputs, entries []recipe.Entry, stage func(recipe.Entry) *recipe.Stage) (map[string]string, error) {
	files, errs := make([]string, len(entries)), make([]error, len(entries))
	var group conc.WaitGroup
	for i, e := range entries {
		if s := stage(e); s != nil {
			group.Go(func() { files[i], errs[i] = outputs(ctx, *s) })
		}
	}
	group.Wait()
	byPath := map[string]string{}
	for i, e := range entries {
		if files[i] != "" {
			byPath[e.Path] = files[i]
		}
	}
	return byPath, errors.Join(errs...)
}

// Image makes the image of the product.
func (p Product) Image() (v1.Image, error) {
	return Image(p.Rootfs, recipe.ImageConfig(p.Target, p.Config, p.Resolved), p.Config.Epoch)
}

// Write writes the product as a tarball into a directory and gives the tarball's path.
func (p Product) Write(ctx context.Context, directory string) (string, Tarball, error) {
	path := filepath.Join(directory, TarballName(p.Target))
	tarball, err := Write(ctx, path, p.Rootfs, recipe.ImageConfig(p.Target, p.Config, p.Resolved), p.Config.Tag, p.Config.Epoch)
	return path, tarball, err
}
