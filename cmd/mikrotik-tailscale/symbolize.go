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
		Short: "Add function names and line numbers to a crash report",
		Long: "To save space, the program in an image has no function names, file names or line numbers. This\n" +
			"command reads a crash report, or a log with one, from a file or the standard input. It prints\n" +
			"the same text with these names and numbers added, from the symbols file that the build writes\n" +
			"for each version and platform. The crash report must have addresses, which the program only\n" +
			"prints with GOTRACEBACK=system in its environment, as in the image.",
		Example: "  mikrotik-tailscale symbolize --symbols " + example + " crash.txt\n" +
			"  ssh router /log/print | mikrotik-tailscale symbolize --symbols " + example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q: want one crash", args[1])}
			}
			if symbols == "" {
				return usageError{errors.New("no symbols: want --symbols with the symbols file of the same version and platform")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := os.ReadFile(symbols)
			if err != nil {
				return usageError{fmt.Errorf("reading the symbols file: %w", err)}
			}
			crash := cmd.InOrStdin()
			if len(args) > 0 {
				file, err := os.Open(args[0])
				if err != nil {
					return usageError{fmt.Errorf("reading the crash report: %w", err)}
				}
				defer func() { _ = file.Close() }()
				crash = file
			}
			var out bytes.Buffer
			if err := pclntab.Symbolize(content, crash, &out); err != nil {
				return fmt.Errorf("symbolizing with %s: %w", symbols, err)
			}
			_, err = io.Copy(cmd.OutOrStdout(), &out)
			return err
		},
	}
	c.Flags().StringVar(&symbols, "symbols", "", "symbols file of the program that crashed")
	return c
}
