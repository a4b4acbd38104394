package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/recipe"
)

func featuresCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var cost bool
	c := &cobra.Command{
		Use:   "features [--cost]",
		Short: "List the features that Tailscale can be built with",
		Long: "List the features of a Tailscale release, according to Tailscale's own source. * marks the\n" +
			"features of the default image, and + their dependencies. Both have the reason why they are\n" +
			"included; the others have Tailscale's description.\n\n" +
			"--cost prints what each change of the default features costs: kilobytes of flash by platform, and\n" +
			"the memory of an idle router on amd64. These are measurements from images that were built with one\n" +
			"change each. The costs of several features don't add up exactly. The command builds nothing then.",
		Example: "  mikrotik-tailscale features\n" +
			"  mikrotik-tailscale features --cost",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cost {
				return listCosts(cmd, *asJSON)
			}
			if err := o.resolve(); err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr())
			defer p.close()
			r, err := o.resolvedFeatures(cmd.Context(), p)
			if err != nil {
				return err
			}
			return listFeatures(cmd.OutOrStdout(), *asJSON, o.config, r)
		},
	}
	o.tailscaleFlags(c.Flags())
	o.builderFlags(c.Flags())
	c.Flags().BoolVar(&cost, costFlag, false, "print what each change of the default features costs")
	return c
}

const costFlag = "cost"

// listCosts prints the measured costs. They don't depend on any other option.
func listCosts(cmd *cobra.Command, asJSON bool) error {
	var others []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != costFlag && cmd.InheritedFlags().Lookup(f.Name) == nil {
			others = append(others, "--"+f.Name)
		}
	})
	if len(others) > 0 {
		return usageError{fmt.Errorf("--%s with %s: want it alone, because it prints measurements of the default image", costFlag, strings.Join(others, ", "))}
	}
	costs, err := size.FeatureCosts()
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), costs)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), costs.Table())
	return err
}

func listFeatures(w io.Writer, asJSON bool, c recipe.Config, r recipe.Resolved) error {
	type feature struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Default     bool   `json:"default"`
		Reason      string `json:"reason,omitempty"`
		Built       bool   `json:"built"`
	}
	var all []feature
	for _, k := range r.Known {
		all = append(all, feature{
			Name: k.Name, Description: k.Description, Default: slices.Contains(c.Features, k.Name),
			Reason: recipe.FeatureReason(k.Name), Built: slices.Contains(r.Features, k.Name),
		})
	}
	if asJSON {
		return printJSON(w, map[string]any{"tailscale_version": c.TailscaleVersion, "features": all})
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range all {
		mark, text := " ", f.Description
		switch {
		case f.Default:
			mark = "*"
		case f.Built:
			mark = "+"
		}
		if f.Built && f.Reason != "" {
			text = f.Reason
		}
		if _, err := fmt.Fprintf(table, "%s %s\t%s\n", mark, f.Name, text); err != nil {
			return err
		}
	}
	return table.Flush()
}

func appletsCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	c := &cobra.Command{
		Use:   "applets",
		Short: "List the commands of the image's shell",
		Long: "List the applets of a curated list, or of your own list, by group. Without --json, the\n" +
			"output is itself a list for --applets.",
		Example: "  mikrotik-tailscale applets --applet-set minimal >my-applets.txt\n" +
			"  mikrotik-tailscale build --arch arm --applets my-applets.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := o.applets()
			if err != nil {
				return usageError{err}
			}
			if *asJSON {
				type group struct {
					Name    string   `json:"name"`
					Applets []string `json:"applets"`
				}
				groups := []group{}
				for _, g := range list.Groups() {
					groups = append(groups, group{g.Name, g.Applets})
				}
				return printJSON(cmd.OutOrStdout(), map[string]any{"groups": groups})
			}
			for _, g := range list.Groups() {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "[%s]\n%s\n", g.Name, strings.Join(g.Applets, "\n")); err != nil {
					return err
				}
			}
			return nil
		},
	}
	o.appletFlags(c.Flags())
	return c
}
