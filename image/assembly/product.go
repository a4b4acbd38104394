package assembly

import (
	"context"
	"fmt"
	"path/filepath"

	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// StageRunner runs a stage and returns the path of its output. Package local implements one, and the Dagger module
// another.
type StageRunner func(context.Context, recipe.Stage) (string, error)

// Product is the result of building a plan: the root filesystem of one platform, with programs that have been
// checked.
type Product struct {
	recipe.Plan
	// Rootfs is the directory with the root filesystem.
	Rootfs string
	// Programs has the files of the linked programs before they are packed, by component.
	Programs map[string]string
	// Extra describes the user's own files in Rootfs, in the form of Fingerprint.
	Extra map[string]string
}

// MakeAll builds several platforms at the same time, each in a directory below directory. Stages that don't depend on
// Tailscale's features start while resolve is still running. The first failure stops everything else.
func MakeAll(ctx context.Context, run StageRunner, targets []platform.Target, c recipe.Config, resolve func(context.Context) (recipe.Resolved, error), extra, directory string) ([]Product, error) {
	products := make([]Product, len(targets))
	runs := []func(context.Context) error{func(ctx context.Context) error {
		r, err := resolve(ctx)
		if err != nil {
			return err
		}
		var makes []func(context.Context) error
		for i, t := range targets {
			makes = append(makes, func(ctx context.Context) (err error) {
				products[i], err = Make(ctx, run, recipe.Plan{Target: t, Config: c, Resolved: r}, extra, filepath.Join(directory, "rootfs-"+t.Name))
				return err
			})
		}
		return recipe.Together(ctx, makes...)
	}}
	for _, t := range targets {
		runs = append(runs, func(ctx context.Context) error {
			_, err := run(ctx, recipe.PackedBusybox(t, c))
			return err
		})
	}
	if err := recipe.Together(ctx, runs...); err != nil {
		return nil, err
	}
	return products, nil
}

// Make runs the stages of a plan at the same time, checks their programs, and writes the root filesystem into the
// directory dir, which must not exist. If extra is not empty, Make also merges the files of that directory.
func Make(ctx context.Context, run StageRunner, plan recipe.Plan, extra, dir string) (Product, error) {
	p := Product{Plan: plan, Rootfs: dir, Programs: map[string]string{}}
	entries := plan.Entries()
	files, err := runEach(ctx, run, entries, func(e recipe.Entry) *recipe.Stage { return e.Stage })
	if err != nil {
		return p, err
	}
	linked, err := runEach(ctx, run, entries, func(e recipe.Entry) *recipe.Stage { return e.Linked })
	if err != nil {
		return p, err
	}
	for _, e := range entries {
		program, ok := linked[e.Path]
		if !ok {
			continue
		}
		if err := verify.Built(program, plan.Target); err != nil {
			return p, fmt.Errorf("checking the output of %s for %s: %w", e.Component(), plan.Target.Name, err)
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
		if p.Extra, err = Fingerprint(extra); err != nil {
			return p, err
		}
	}
	return p, nil
}

// runEach runs one stage for each entry that has one. It returns the outputs by the entry's path.
func runEach(ctx context.Context, run StageRunner, entries []recipe.Entry, stage func(recipe.Entry) *recipe.Stage) (map[string]string, error) {
	files := make([]string, len(entries))
	var runs []func(context.Context) error
	for i, e := range entries {
		if s := stage(e); s != nil {
			runs = append(runs, func(ctx context.Context) (err error) {
				files[i], err = run(ctx, *s)
				return err
			})
		}
	}
	if err := recipe.Together(ctx, runs...); err != nil {
		return nil, err
	}
	byPath := map[string]string{}
	for i, e := range entries {
		if files[i] != "" {
			byPath[e.Path] = files[i]
		}
	}
	return byPath, nil
}
