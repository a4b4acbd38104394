package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/platform"
)

func packagesCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch string
	c := &cobra.Command{
		Use:   "packages [--arch arm64] [--json]",
		Short: "Print what each Go package takes in the image",
		Long: "Build the image for a platform and print how many bytes the code of each Go package takes in it,\n" +
			"packed and as linked, and how many the other parts of Tailscale's program take.",
		Example: "  mikrotik-tailscale sizes packages\n" +
			"  mikrotik-tailscale sizes packages --arch amd64 --features +ssh --json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := parseTarget(arch)
			if err != nil {
				return usageError{err}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			if err := size.CheckPackages(target, o.config); err != nil {
				return usageError{err}
			}
			text, err := o.describe(cmd, []platform.Target{target}, func(run assembly.StageRunner, products []assembly.Product) (string, error) {
				symbols, err := attest.Symbols(cmd.Context(), run, products[0])
				if err != nil {
					return "", err
				}
				program, err := size.MeasurePackages(products[0], symbols)
				switch {
				case err != nil:
					return "", fmt.Errorf("measuring the packages for %s: %w", target, err)
				case *asJSON:
					return program.JSON()
				}
				return program.Table(), nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&arch, "arch", "arm64", "platform of the image: amd64 or arm64")
	o.imageFlags(flags)
	o.builderFlags(flags)
	return c
}
