package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/local"
)

func cleanCommand(asJSON *bool) *cobra.Command {
	cache := ""
	c := &cobra.Command{
		Use:   "clean [--cache-dir DIR]",
		Short: "Empty the cache",
		Long: "Remove everything from the cache: downloads, Debian roots and outputs. The next build starts from\n" +
			"nothing. Builds themselves remove everything that no build has used for 30 days. If a build is\n" +
			"running, the command waits for it to end.",
		Example: "  mikrotik-tailscale clean",
		RunE: func(cmd *cobra.Command, _ []string) error {
			directory, freed, err := local.Clean(cmd.Context(), cache, func() {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "a build is using the cache: waiting for it to end")
			})
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"path": directory, "freed": freed})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s freed\n", directory, megabytes(freed))
			return err
		},
	}
	cacheFlag(c.Flags(), &cache)
	return c
}

// megabytes formats a number of bytes.
func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
