package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/size"
)

func sizesCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch []string
	var asSVG bool
	c := &cobra.Command{
		Use:   "sizes [--arch all] [--json | --svg]",
		Short: "Print the size of each part of the images",
		Long: "Build images and print the size of each part in bytes, as linked and as stored in the\n" +
			"image: as a table, as JSON or as a picture.",
		Example: "  mikrotik-tailscale sizes\n" +
			"  mikrotik-tailscale sizes --arch arm --features +ssh --json\n" +
			"  mikrotik-tailscale sizes --svg >sizes.svg",
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets, err := parseTargets(arch)
			if err != nil {
				return usageError{err}
			}
			if *asJSON && asSVG {
				return usageError{fmt.Errorf("both --json and --svg: want one of them")}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			text, err := o.describe(cmd, targets, func(_ assembly.StageRunner, products []assembly.Product) (string, error) {
				report, err := size.Measure(products)
				switch {
				case err != nil:
					return "", err
				case *asJSON:
					return report.JSON()
				case asSVG:
					return report.SVG()
				}
				return report.Table(), nil
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
	flags.StringSliceVar(&arch, "arch", []string{"all"}, "platforms to build for, or \"all\"")
	flags.BoolVar(&asSVG, "svg", false, "draw a picture")
	o.imageFlags(flags)
	o.builderFlags(flags)
	c.AddCommand(packagesCommand(asJSON))
	return c
}
