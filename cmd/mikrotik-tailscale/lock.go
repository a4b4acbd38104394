package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/recipe"
)

func lockCommand() *cobra.Command {
	o := newOptions()
	var output string
	c := &cobra.Command{
		Use:   "lock [--output " + recipe.LockFile + "]",
		Short: "Record the versions of the Debian packages that builds use",
		Long: "Ask the Debian snapshot of this release, or Debian's own archive if the snapshot can't be\n" +
			"reached, for the versions of all packages that builds install, and record them. A build\n" +
			"with other versions is an error. Run it in the sources of this project: the file is\n" +
			"compiled in.",
		Example: "  go run ./cmd/mikrotik-tailscale lock",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(filepath.Dir(output)); err != nil {
				return usageError{fmt.Errorf("output %s can't be written: run this in the sources of the project: %w", output, err)}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			origin, err := lock(cmd.Context(), o, output, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: the packages of %s\n", output, origin)
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", recipe.LockFile, "file to write")
	o.mirrorFlags(c.Flags())
	o.builderFlags(c.Flags())
	return c
}

func lock(ctx context.Context, o *options, output string, progress io.Writer) (origin string, err error) {
	p := newProgress(progress)
	defer p.close()
	d, err := o.open(ctx, p)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	content, origin, err := d.Lock(ctx)
	if err != nil {
		return "", err
	}
	_, err = archive.WriteFile(ctx, output, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
	return origin, err
}
