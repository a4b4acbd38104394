package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/page"
	"dagger/mikrotik-tailscale/routeros/page/choices"
)

// pageOptions are the options of a page: its initial choices, its path, and how it is built.
type pageOptions struct {
	*options
	initial choices.Choices
	output  string
}

// initialChoices returns the initial choices of the form: the options of the call.
func initialChoices(flags *pflag.FlagSet, o *routeros.Options, kind string, sites []string) (choices.Choices, error) {
	c := choices.Choices{}
	for _, s := range o.Settings() {
		if flags.Changed(s.Name) {
			c[s.Name] = s.Get()
		}
	}
	switch {
	case slices.Contains(routeros.AppKinds, kind):
		c.Set(choices.Script, choices.App)
	case flags.Changed("script"):
		return nil, fmt.Errorf("the page has all scripts: leave out --script %s", kind)
	}
	if len(sites) > 0 {
		c[choices.Site] = sites
	}
	return c, nil
}

// writePage writes the page and prints its path.
func writePage(cmd *cobra.Command, asJSON bool, o pageOptions) error {
	path := o.output
	if info, err := os.Stat(path); path == "" || strings.HasSuffix(path, "/") || err == nil && info.IsDir() {
		path = filepath.Join(path, page.Name)
	}
	if err := checkFile(path); err != nil {
		return usageError{err}
	}
	stage, err := page.Stage(o.initial)
	if err != nil {
		return usageError{err}
	}
	if err := o.resolve(); err != nil {
		return err
	}
	p := newProgress(cmd.ErrOrStderr())
	written, err := makePage(cmd.Context(), o, stage, path, p)
	p.close()
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), map[string]any{"path": path, "size": written.Size, "sha256": written.SHA256})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes, sha256 %s\nOpen it in a browser, or put it on any web server.\n", path, written.Size, written.SHA256)
	return err
}

func makePage(ctx context.Context, o pageOptions, stage recipe.Stage, path string, p *progress) (written archive.FileInfo, err error) {
	err = o.stageOutput(ctx, stage, p, func(made string) error {
		all, err := writeAll(ctx, filepath.Dir(path), []archive.File{{Path: path, Write: copyOf(made)}})
		if err == nil {
			written = all[0]
		}
		return err
	})
	return written, err
}
