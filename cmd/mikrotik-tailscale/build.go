package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func buildCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch []string
	var output string
	c := &cobra.Command{
		Use:   "build --arch arm64 [--output tailscale-arm64.tar]",
		Short: "Build images and write them as tarballs",
		Long: "Build the image for one or more platforms, and write each as a tarball for /container/add file=.\n" +
			"Downloads and build outputs are kept in the cache directory, so a second run without changes takes\n" +
			"seconds. The same inputs produce the same bytes.\n\n" +
			"Platforms (\"/system/resource/print\" on the router shows its architecture-name):\n" + platforms() +
			"\nThe environment variable SOURCE_DATE_EPOCH sets the time of the image and its files, in seconds since\n" +
			"1970 (default 0). The settings of the go command and http_proxy are respected.",
		Example: "  mikrotik-tailscale build --arch arm64\n" +
			"  mikrotik-tailscale build --arch all --output dist/\n" +
			"  mikrotik-tailscale build --arch arm --features +ssh --applet-set minimal",
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets, err := parseTargets(arch)
			if err != nil {
				return usageError{err}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			out, err := newDestination(output, targets)
			if err != nil {
				return usageError{err}
			}
			p := newProgress(cmd.ErrOrStderr())
			results, err := build(cmd.Context(), o, targets, out, p)
			p.close()
			if err != nil {
				return err
			}
			return report(cmd.OutOrStdout(), *asJSON, results, p.ended)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&arch, "arch", nil, "platforms to build for, or \"all\"")
	flags.StringVarP(&output, "output", "o", "", "file to write for one platform (default tailscale-ARCH.tar), directory for several (default dist); missing directories are created")
	o.imageFlags(flags)
	flags.StringVar(&o.config.Tag, "tag", "", "repository and tag in the tarball (default "+o.config.DefaultTag()+")")
	o.builderFlags(flags)
	return c
}

func platforms() string {
	var b strings.Builder
	for _, t := range platform.All() {
		fmt.Fprintf(&b, "  %-6s %-13s RouterOS %-6s %s\n", t.Name, t.Platform(), t.RouterOS, t.Boards)
	}
	return b.String()
}

// parseTargets returns the platforms that --arch names. Unlike the Dagger module, the command has no default, because
// building all platforms takes long on a small machine.
func parseTargets(names []string) ([]platform.Target, error) {
	if len(names) == 0 {
		return nil, errors.New("no platform: want --arch with " + strings.Join(platformNames(), ", ") + " or all")
	}
	return platform.ParseAll(names)
}

func platformNames() []string {
	var names []string
	for _, t := range platform.All() {
		names = append(names, t.Name)
	}
	return names
}

// result is one tarball in JSON output.
type result struct {
	Platform          string   `json:"platform"`
	ContainerPlatform string   `json:"container_platform"`
	Path              string   `json:"path"`
	Size              int64    `json:"size"`
	SHA256            string   `json:"sha256"`
	RootfsSize        int64    `json:"rootfs_size"`
	TailscaleVersion  string   `json:"tailscale_version"`
	Features          []string `json:"features"`
}

// build builds the tarballs of all targets, and moves them to their destination after all are built.
func build(ctx context.Context, o *options, targets []platform.Target, out destination, p *progress) (built []result, err error) {
	err = o.products(ctx, targets, p, func(run assembly.StageRunner, products []assembly.Product, scratch string) error {
		var subjects []attest.Subject
		for _, product := range products {
			path, tarball, err := product.Write(ctx, scratch)
			if err != nil {
				return fmt.Errorf("building for %s: %w", product.Target, err)
			}
			built = append(built, result{
				Platform: product.Target.Name, ContainerPlatform: product.Target.Platform(), Path: path,
				Size: tarball.Size, SHA256: tarball.SHA256, RootfsSize: tarball.RootfsSize,
				TailscaleVersion: o.config.TailscaleVersion, Features: product.Resolved.Features,
			})
			subjects = append(subjects, attest.Subject{Name: filepath.Base(path), SHA256: tarball.SHA256})
		}
		companions, err := out.companions(ctx, run, products, subjects)
		if err != nil {
			return err
		}
		return out.place(ctx, built, companions)
	})
	return built, err
}

// products builds the root filesystems of all targets at the same time, and calls use with them and with a scratch
// directory. The first failure stops the other platforms.
func (o *options) products(ctx context.Context, targets []platform.Target, p *progress, use func(run assembly.StageRunner, products []assembly.Product, scratch string) error) error {
	return o.productsAfter(ctx, targets, p, func(recipe.Resolved) error { return nil }, use)
}

// describe builds the root filesystems, and returns the text that about returns for them.
func (o *options) describe(cmd *cobra.Command, targets []platform.Target, about func(run assembly.StageRunner, products []assembly.Product) (string, error)) (text string, err error) {
	p := newProgress(cmd.ErrOrStderr())
	defer p.close()
	err = o.products(cmd.Context(), targets, p, func(run assembly.StageRunner, products []assembly.Product, _ string) (err error) {
		text, err = about(run, products)
		return err
	})
	return text, err
}

// productsAfter is like products, and calls check with the resolved features before it builds Tailscale.
func (o *options) productsAfter(ctx context.Context, targets []platform.Target, p *progress, check func(recipe.Resolved) error, use func(run assembly.StageRunner, products []assembly.Product, scratch string) error) (err error) {
	if err := assembly.CheckFiles(o.extra, targets, o.config, os.TempDir()); err != nil {
		return usageError{err}
	}
	d, err := o.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	scratch, err := d.Scratch()
	if err != nil {
		return err
	}
	resolve := func(ctx context.Context) (recipe.Resolved, error) {
		r, err := resolveFeatures(ctx, d, o.config, p)
		if err == nil {
			err = check(r)
		}
		return r, err
	}
	products, err := assembly.MakeAll(ctx, d.Output, targets, o.config, resolve, o.extra, scratch)
	if err != nil {
		return err
	}
	return use(d.Output, products, scratch)
}

// open warns of probable mistakes, checks that the tools are installed, and opens the builder.
func (o *options) open(ctx context.Context, p *progress) (*local.Builder, error) {
	for _, w := range o.config.Warnings() {
		p.say("warning: " + w)
	}
	if err := o.requireTools(ctx, p); err != nil {
		return nil, err
	}
	return local.Open(ctx, o.builderOptions(p))
}

// resolvedFeatures opens the builder only to resolve the features.
func (o *options) resolvedFeatures(ctx context.Context, p *progress) (_ recipe.Resolved, err error) {
	d, err := o.open(ctx, p)
	if err != nil {
		return recipe.Resolved{}, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return resolveFeatures(ctx, d, o.config, p)
}

func resolveFeatures(ctx context.Context, d *local.Builder, c recipe.Config, p *progress) (recipe.Resolved, error) {
	path, err := d.Output(ctx, recipe.ResolveFeatures(c))
	if err != nil {
		return recipe.Resolved{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return recipe.Resolved{}, fmt.Errorf("reading Tailscale's features: %w", err)
	}
	r, err := recipe.Resolve(c, string(text))
	if err != nil {
		return r, usageError{err}
	}
	for _, w := range r.Warnings() {
		p.say("warning: " + w)
	}
	return r, nil
}

// stage is a stage's result in JSON output.
type stage struct {
	Stage   string      `json:"stage"`
	State   local.State `json:"state"`
	Seconds float64     `json:"seconds"`
}

func stagesOf(ended []local.Event) []stage {
	stages := []stage{}
	for _, e := range ended {
		stages = append(stages, stage{e.Title, e.State, e.Took.Seconds()})
	}
	return stages
}

// report prints the results.
func report(w io.Writer, asJSON bool, results []result, ended []local.Event) error {
	if asJSON {
		return printJSON(w, map[string]any{"tarballs": results, "stages": stagesOf(ended)})
	}
	for _, r := range results {
		_, err := fmt.Fprintf(w, "%s: %s for %s, %d bytes (%d on the router), sha256 %s\n",
			r.Path, "Tailscale "+r.TailscaleVersion, r.ContainerPlatform, r.Size, r.RootfsSize, r.SHA256)
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, "To put it on a router, use the deploy command, or see docs/usage.md for each step by hand.")
	return err
}
