package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/routeros"
	routerflags "dagger/mikrotik-tailscale/routeros/flags"
)

func routerosCommand(asJSON *bool) *cobra.Command {
	o := routeros.Default()
	build := newOptions()
	var kind, output string
	var siteTexts []string
	var asPage bool
	c := &cobra.Command{
		Use:   "routeros --image ghcr.io/me/tailscale:stable [--output scripts/]",
		Short: "Write scripts that install, update, diagnose and remove the container on a router",
		Long: "Write four scripts for the router's /import. The install script adds the container with its interface,\n" +
			"addresses, routes, rules, mount and variables. The update script replaces the image if the registry has\n" +
			"another one. The remove script removes everything that the install script added. The diagnose script\n" +
			"prints what is wrong. With --root memory, a fifth script adds the container at each boot. With\n" +
			"--script app, write an app for RouterOS's /app and its scripts. Without --output, one file is printed.\n" +
			"Scripts contain no keys or passwords; docs/routeros.md says where to put them.\n\n" +
			"With --page, write a web page instead, which makes the scripts in a browser, offline and without a server.\n" +
			"Its form starts with your options. The flags from --go-proxy on configure how the page is built.",
		Example: "  mikrotik-tailscale routeros --image ghcr.io/me/tailscale:stable --subnet 192.168.88.0/24 --output scripts/\n" +
			"  mikrotik-tailscale routeros --tarball usb1/tailscale-arm64.tar --disk usb1 --exit-node --script install\n" +
			"  mikrotik-tailscale routeros --image ghcr.io/me/tailscale:stable --script app --site home=192.168.88.0/24 --site office=192.168.89.0/24 --output app/\n" +
			"  mikrotik-tailscale routeros --page --image ghcr.io/me/tailscale:stable --output page.html",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asPage {
				initial, err := initialChoices(cmd.Flags(), &o, kind, siteTexts)
				if err != nil {
					return usageError{err}
				}
				return writePage(cmd, *asJSON, pageOptions{build, initial, output})
			}
			scripts, err := routerosScripts(o, kind, siteTexts)
			if err != nil {
				return usageError{err}
			}
			if output == "" {
				s, err := onlyScript(scripts, kind, o.Root)
				if err != nil {
					return usageError{err}
				}
				return printScript(cmd.OutOrStdout(), *asJSON, s)
			}
			if err := checkDirectory(output); err != nil {
				return usageError{err}
			}
			return writeScripts(cmd.Context(), cmd.OutOrStdout(), *asJSON, output, scripts)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.AddFlagSet(routerflags.For(&o))
	flags.StringVar(&kind, "script", "install", "script to print: "+strings.Join(slices.Concat(routeros.Kinds, routeros.AppKinds), ", ")+"; with --output and app, the files of an app are written")
	flags.StringArrayVar(&siteTexts, "site", nil, "with --script app: site of a store and its networks, for example home=192.168.88.0/24")
	flags.StringVarP(&output, "output", "o", "", "directory to write all scripts to; with --page, the file to write (default page.html)")
	flags.BoolVar(&asPage, "page", false, "write a web page that makes the scripts in a browser")
	build.goProxyFlags(flags)
	build.builderFlags(flags)
	return c
}

// routerosScripts returns the scripts, or the files of an app if kind is one of them.
func routerosScripts(o routeros.Options, kind string, siteTexts []string) ([]routeros.Script, error) {
	switch {
	case slices.Contains(routeros.AppKinds, kind):
		sites, err := routeros.ParseSites(siteTexts)
		if err != nil {
			return nil, err
		}
		return routeros.App(o, sites)
	case len(siteTexts) > 0:
		return nil, fmt.Errorf("sites are for apps: want --script app with --site %s", siteTexts[0])
	case !slices.Contains(routeros.Kinds, kind):
		return nil, fmt.Errorf("unknown script %q: want one of %s", kind, strings.Join(slices.Concat(routeros.Kinds, routeros.AppKinds), ", "))
	}
	return routeros.New(o)
}

// onlyScript returns the script of a kind. There must be exactly one.
func onlyScript(scripts []routeros.Script, kind, root string) (routeros.Script, error) {
	var found []routeros.Script
	for _, s := range scripts {
		if s.Kind == kind {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return routeros.Script{}, fmt.Errorf("no %s script with --root %s: want --root %s", kind, root, routeros.RootMemory)
	case 1:
		return found[0], nil
	}
	return routeros.Script{}, fmt.Errorf("each of the %d sites has an %s script: want --output to write them", len(found), kind)
}

// printed is a script in JSON output.
type printed struct {
	Script string `json:"script"`
	Name   string `json:"name"`
	Path   string `json:"path,omitempty"`
	Text   string `json:"text,omitempty"`
}

func printScript(w io.Writer, asJSON bool, s routeros.Script) error {
	if asJSON {
		return printJSON(w, map[string]any{"scripts": []printed{{Script: s.Kind, Name: s.Name, Text: s.Text}}})
	}
	_, err := io.WriteString(w, s.Text)
	return err
}

// nextStep returns what to do with the files.
func nextStep(all []printed) string {
	first := slices.IndexFunc(all, func(p printed) bool { return strings.HasSuffix(p.Name, ".rsc") })
	if strings.HasSuffix(all[0].Name, ".tikappstore.yaml") {
		return fmt.Sprintf("Put %s on a web server. On each router: /app/settings/set app-store-urls=URL, copy the site's scripts there, and for example: /import %s", all[0].Name, all[first].Name)
	}
	return "Copy them to the router, and run this there: /import " + all[first].Name
}

func writeScripts(ctx context.Context, w io.Writer, asJSON bool, directory string, scripts []routeros.Script) error {
	var all []printed
	var files []archive.File
	for _, s := range scripts {
		path := filepath.Join(directory, s.Name)
		files = append(files, archive.File{Path: path, Write: textOf(s.Text)})
		all = append(all, printed{Script: s.Kind, Name: s.Name, Path: path})
	}
	if _, err := writeAll(ctx, directory, files); err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, map[string]any{"scripts": all})
	}
	for _, p := range all {
		if _, err := fmt.Fprintln(w, p.Path); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, nextStep(all))
	return err
}
