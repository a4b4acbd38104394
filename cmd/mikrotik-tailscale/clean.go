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
		Long: "Removes everything that builds keep in the cache: what they downloaded, the Debian roots and the outputs.\n" +
			"The next build starts from nothing. Builds themselves remove what none of them has used for 30 days.\n" +
			"If a build is running, the command waits for its end.",
		Example: "  mikrotik-tailscale clean",
		RunE: func(cmd *cobra.Command, _ []string) error {
			directory, freed, err := local.Clean(cmd.Context(), cache, func() {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "a build uses the cache: waiting for its end")
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

// megabytes is a number of bytes as people read it.
func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
