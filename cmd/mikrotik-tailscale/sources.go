package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func sourcesCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch []string
	var output string
	c := &cobra.Command{
		Use:   "sources [--output sources.tar.gz]",
		Short: "Write the corresponding source of busybox, musl and the launcher",
		Long: "Write one archive with the exact sources of the C programs in the images, their configuration, and\n" +
			"the steps that built them, as scripts. Anyone who distributes an image distributes busybox, whose\n" +
			"license (GPL-2.0) asks for the source. publish attaches the same archive to the index. The same\n" +
			"inputs produce the same bytes.",
		Example: "  mikrotik-tailscale sources\n" +
			"  mikrotik-tailscale sources --arch arm --applet-set minimal --output sources.tar.gz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets, err := parseTargets(arch)
			if err != nil {
				return usageError{err}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			s := recipe.CorrespondingSource(targets, o.config)
			if output == "" {
				output = s.Output
			}
			if err := checkFile(output); err != nil {
				return usageError{err}
			}
			p := newProgress(cmd.ErrOrStderr())
			err = o.stageOutput(cmd.Context(), s, p, func(path string) error {
				return writeResult(cmd.Context(), cmd.OutOrStdout(), *asJSON, targets, output, false, copyOf(path))
			})
			p.close()
			return err
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&arch, "arch", []string{platform.Every}, "platforms of the scripts, or \"all\"")
	flags.StringVarP(&output, "output", "o", "", "file to write (default named after the image version)")
	o.imageFlags(flags)
	o.builderFlags(flags)
	return c
}

// stageOutput runs a stage, and calls use with the path of its output.
func (o *options) stageOutput(ctx context.Context, s recipe.Stage, p *progress, use func(path string) error) (err error) {
	d, err := o.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	path, err := d.Output(ctx, s)
	if err != nil {
		return err
	}
	return use(path)
}
