package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

func symbolizeCommand() *cobra.Command {
	symbols, example := "", attest.SymbolsName(platform.All()[0])
	c := &cobra.Command{
		Use:   "symbolize --symbols FILE [CRASH]",
		Short: "Put names and lines back into a crash",
		Long: "The program in an image has no names of functions, and neither files nor lines, so that it is\n" +
			"smaller. A crash that it printed, or a log with one in it, is copied to the standard output\n" +
			"with all of these put back in, from the file of symbols that the build keeps for each version\n" +
			"and platform. The crash is read from the standard input when no file is given. It has the\n" +
			"addresses for that only where GOTRACEBACK=system was in the program's environment.",
		Example: "  mikrotik-tailscale symbolize --symbols " + example + " crash.txt\n" +
			"  ssh router /log/print | mikrotik-tailscale symbolize --symbols " + example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q: there is one crash at a time", args[1])}
			}
			if symbols == "" {
				return usageError{errors.New("no file of symbols: give the one of the same version and platform with --symbols")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := os.ReadFile(symbols)
			if err != nil {
				return usageError{err}
			}
			crash := cmd.InOrStdin()
			if len(args) > 0 {
				file, err := os.Open(args[0])
				if err != nil {
					return usageError{err}
				}
				defer func() { _ = file.Close() }()
				crash = file
			}
			var out bytes.Buffer
			if err := pclntab.Symbolize(content, crash, &out); err != nil {
				return fmt.Errorf("putting the symbols of %s in: %w", symbols, err)
			}
			_, err = io.Copy(cmd.OutOrStdout(), &out)
			return err
		},
	}
	c.Flags().StringVar(&symbols, "symbols", "", "the file of symbols of the program that crashed")
	return c
}
