package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/platform"
)

func sbomCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch, output string
	c := &cobra.Command{
		Use:   "sbom --arch arm64 [--output tailscale-arm64.cdx.json]",
		Short: "Print the SBOM of an image",
		Long: "Build the image for a platform and print its software bill of materials (SBOM) in CycloneDX format:\n" +
			"every Go module, busybox, the C libraries, the CA certificates, and every file with its sha256.",
		Example: "  mikrotik-tailscale sbom --arch arm64 --output tailscale-arm64.cdx.json\n" +
			"  mikrotik-tailscale sbom --arch arm --features +ssh",
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := parseTarget(arch)
			if err != nil {
				return usageError{err}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			if output != "" {
				if err := checkFile(output); err != nil {
					return usageError{err}
				}
			}
			text, err := o.describe(cmd, []platform.Target{target}, func(run assembly.StageRunner, products []assembly.Product) (string, error) {
				return attest.SBOM(cmd.Context(), run, products[0])
			})
			if err != nil {
				return err
			}
			if output == "" {
				_, err := io.WriteString(cmd.OutOrStdout(), text)
				return err
			}
			return writeResult(cmd.Context(), cmd.OutOrStdout(), *asJSON, []platform.Target{target}, output, false, textOf(text))
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&arch, "arch", "", "platform of the image")
	flags.StringVarP(&output, "output", "o", "", "file to write (default the standard output)")
	o.imageFlags(flags)
	o.builderFlags(flags)
	return c
}

// parseTarget is like parseTargets, for commands about one platform.
func parseTarget(name string) (platform.Target, error) {
	names := strings.Join(platformNames(), ", ")
	switch name {
	case "":
		return platform.Target{}, errors.New("no platform: want --arch with one of " + names)
	case platform.Every:
		return platform.Target{}, fmt.Errorf("platform %q means several: want --arch with one of %s", name, names)
	}
	return platform.Parse(name)
}
