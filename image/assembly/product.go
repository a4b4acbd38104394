package assembly

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sourcegraph/conc"

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
// Tailscale's features start while resolve is still running. MakeAll returns the errors of all platforms.
func MakeAll(ctx context.Context, run StageRunner, targets []platform.Target, c recipe.Config, resolve func(context.Context) (recipe.Resolved, error), extra, directory string) ([]Product, error) {
	ctx, cancel := context.WithCancel(ctx)
	var early, group conc.WaitGroup
	defer early.Wait()
	defer cancel()
	for _, t := range targets {
		shell := recipe.PackedBusybox(t, c)
		// Make runs into the same error, and returns it.
		early.Go(func() { _, _ = run(ctx, shell) })
	}
	r, err := resolve(ctx)
	if err != nil {
		return nil, err
	}
	products, errs := make([]Product, len(targets)), make([]error, len(targets))
	for i, t := range targets {
		group.Go(func() {
			products[i], errs[i] = Make(ctx, run, recipe.Plan{Target: t, Config: c, Resolved: r}, extra, filepath.Join(directory, "rootfs-"+t.Name))
		})
	}
	group.Wait()
	return products, failures(targets, errs)
}

// failures returns the errors of platforms as one, or nil if there is none. An error that several platforms have in common
// is that of a shared stage. It is contained once, with all their names.
func failures(targets []platform.Target, errs []error) error {
	names := map[string][]string{}
	var distinct []error
	for i, t := range targets {
		each := []error{errs[i]}
		if joined, ok := errs[i].(interface{ Unwrap() []error }); ok {
			each = joined.Unwrap()
		}
		for _, err := range each {
			if err == nil {
				continue
			}
			text := err.Error()
			if names[text] == nil {
				distinct = append(distinct, err)
			}
			names[text] = append(names[text], t.Name)
		}
	}
	for i, err := range distinct {
		distinct[i] = fmt.Errorf("building for %s: %w", strings.Join(names[err.Error()], ", "), err)
	}
	return errors.Join(distinct...)
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
			return p, fmt.Errorf("checking the output of %s: %w", e.Component(), err)
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
	files, errs := make([]string, len(entries)), make([]error, len(entries))
	var group conc.WaitGroup
	for i, e := range entries {
		if s := stage(e); s != nil {
			group.Go(func() { files[i], errs[i] = run(ctx, *s) })
		}
	}
	group.Wait()
	byPath := map[string]string{}
	for i, e := range entries {
		if files[i] != "" {
			byPath[e.Path] = files[i]
		}
	}
	return byPath, recipe.Failures(errs)
}
