package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func compressCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch, binary, output string
	c := &cobra.Command{
		Use:   "compress --arch arm64 --binary FILE --output FILE",
		Short: "Pack a static program like the programs in the image",
		Long: "Pack a static program for a platform like the image's own programs. To add the result to an image,\n" +
			"put it into a directory for --extra.",
		Example: "  GOARCH=arm64 CGO_ENABLED=0 go build -o hello .\n" +
			"  mikrotik-tailscale compress --arch arm64 --binary hello --output extra/usr/local/bin/hello\n" +
			"  mikrotik-tailscale build --arch arm64 --extra extra",
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := parseTarget(arch)
			if err != nil {
				return usageError{err}
			}
			if binary == "" || output == "" {
				return usageError{errors.New("no file: want --binary with the program and --output with the file to write")}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			if err := verify.Binary(binary, target); err != nil {
				return usageError{err}
			}
			if err := checkFile(output); err != nil {
				return usageError{err}
			}
			p := newProgress(cmd.ErrOrStderr())
			err = compress(cmd.Context(), o, target, binary, p, func(packed string) error {
				return writeProgram(cmd.Context(), cmd.OutOrStdout(), *asJSON, target, output, packed)
			})
			p.close()
			return err
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&arch, "arch", "", "platform that the program is for")
	flags.StringVar(&binary, "binary", "", "static program to pack")
	flags.StringVarP(&output, "output", "o", "", "file to write")
	o.compressionFlags(flags)
	o.mirrorFlags(flags)
	o.builderFlags(flags)
	return c
}

// compress packs a program, and calls use with the path of the packed one.
func compress(ctx context.Context, o *options, t platform.Target, binary string, p *progress, use func(packed string) error) (err error) {
	d, err := o.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s := recipe.Compress(t, o.config, nil)
	packed, err := d.OutputWith(ctx, s, map[string]string{s.Inputs[0].Name: binary})
	if err != nil {
		return err
	}
	return use(packed)
}

func writeProgram(ctx context.Context, w io.Writer, asJSON bool, t platform.Target, output, packed string) error {
	return writeResult(ctx, w, asJSON, []platform.Target{t}, output, true, copyOf(packed))
}
