package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/archive"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros"
)

func routerosCommand(asJSON *bool) *cobra.Command {
	o := routeros.Default()
	var kind, output string
	c := &cobra.Command{
		Use:   "routeros --image ghcr.io/me/tailscale:stable [--output scripts/]",
		Short: "Write scripts that install, update and remove the container on a router",
		Long: "Writes four scripts for the router's /import: one installs the container with its interface,\n" +
			"addresses, routes, rules, mount and variables, one brings it up to date when the registry has\n" +
			"another image, one removes everything that the first one added, and one looks for what is wrong.\n" +
			"Without --output, one of them is printed. No script has a key or password in it: see docs/routeros.md.",
		Example: "  mikrotik-tailscale routeros --image ghcr.io/me/tailscale:stable --subnet 192.168.88.0/24 --output scripts/\n" +
			"  mikrotik-tailscale routeros --tarball usb1/tailscale-arm64.tar --disk usb1 --exit-node --script install",
		RunE: func(cmd *cobra.Command, _ []string) error {
			scripts, err := routeros.New(o)
			if err != nil {
				return usageError{err}
			}
			i := slices.IndexFunc(scripts, func(s routeros.Script) bool { return s.Kind == kind })
			if i < 0 {
				return usageError{fmt.Errorf("unknown script %q: choose one of %s", kind, strings.Join(routeros.Kinds, ", "))}
			}
			if output == "" {
				return printScript(cmd.OutOrStdout(), *asJSON, scripts[i])
			}
			if err := checkFolder(output); err != nil {
				return usageError{err}
			}
			return writeScripts(cmd.Context(), cmd.OutOrStdout(), *asJSON, output, scripts)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	routerosFlags(flags, &o)
	flags.StringVar(&kind, "script", "install", "script to print: "+strings.Join(routeros.Kinds, ", "))
	flags.StringVarP(&output, "output", "o", "", "folder to write all scripts to")
	return c
}

func routerosFlags(flags *pflag.FlagSet, o *routeros.Options) {
	var platforms []string
	for _, t := range platform.All() {
		platforms = append(platforms, t.Name)
	}
	flags.StringVar(&o.Name, "name", o.Name, "name of container, lists and folders, up to 10 characters; the interface is veth-NAME")
	flags.StringVar(&o.Image, "image", "", "image in a registry, as in ghcr.io/me/tailscale:stable")
	flags.StringVar(&o.Tarball, "tarball", "", "path of the image's tarball on the router, in place of an image")
	flags.StringVar(&o.Disk, "disk", "", "disk or folder on the router for image and state, such as usb1 or flash (default the internal storage)")
	flags.StringVar(&o.Arch, "arch", "", "platform of the image: "+strings.Join(platforms, ", ")+" (default by the router's architecture)")
	flags.StringVar(&o.RouterOS, "routeros-version", o.RouterOS, "oldest RouterOS that the scripts have to run on")
	flags.StringSliceVar(&o.Addresses, "address", o.Addresses, "addresses of the container with prefix length: one for IPv4, and one for IPv6 if wanted")
	flags.StringSliceVar(&o.Gateways, "gateway", o.Gateways, "router's address in the network of each address")
	flags.StringVar(&o.Bridge, "bridge", "", "bridge that the container joins (default none)")
	flags.StringSliceVar(&o.Subnets, "subnet", nil, "networks to advertise to the tailnet")
	flags.StringSliceVar(&o.RemoteSubnets, "remote-subnet", nil, "networks behind other subnet routers, to reach from the router's own networks")
	flags.BoolVar(&o.ExitNode, "exit-node", false, "offer the router as an exit node")
	flags.StringVar(&o.Hostname, "hostname", "", "name in the tailnet (default the container's)")
	flags.StringVar(&o.LoginServer, "login-server", "", "address of a control server other than Tailscale's")
	flags.BoolVar(&o.AuthKeyFile, "auth-key-file", false, "log in with the key in the file authkey of the state folder on the router")
	flags.StringVar(&o.ExtraArgs, "extra-args", "", "further arguments of tailscale up")
	flags.StringArrayVar(&o.Env, "env", nil, "further variable for the container, as in GOGC=50")
	flags.IntVar(&o.Memory, "memory", 0, "soft limit of memory in MiB (default none)")
	flags.IntVar(&o.Tmpfs, "tmpfs", o.Tmpfs, "size in MiB of a disk in memory where images are unpacked, 0 for none")
	flags.StringSliceVar(&o.DNS, "dns", nil, "name servers of the container (default the router's)")
	flags.StringSliceVar(&o.MagicDNS, "magic-dns", o.MagicDNS, "domains that the router asks the tailnet about")
	flags.StringVar(&o.WANList, "wan-list", o.WANList, "interface list of the way out, where addresses are translated; empty for no translation")
	flags.BoolVar(&o.Masquerade, "masquerade", false, "show the router's address to its networks in place of the tailnet's")
	flags.StringVar(&o.InterfaceList, "interface-list", "", "interface list that the container's interface joins, such as LAN")
	flags.BoolVar(&o.Firewall, "firewall", false, "accept what is forwarded from and to the container")
	flags.IntVar(&o.Port, "port", 0, "UDP port for direct connections, forwarded to the container, as in 41641 (default none)")
	flags.BoolVar(&o.ClampMSS, "clamp-mss", false, "lower the segment size of forwarded TCP connections to what fits into the tunnel")
	flags.StringVar(&o.Registry, "registry", o.Registry, "how the registry lets people in: "+strings.Join(routeros.Registries(), ", "))
	flags.StringVar(&o.TokenURL, "token-url", "", "address of the registry's tokens, with its service, if --registry does not say it")
	flags.StringVar(&o.Username, "username", "", "user at the registry; the password is in the router's /container/config")
	flags.BoolVar(&o.Insecure, "insecure", false, "speak plain HTTP with the registry")
	flags.BoolVar(&o.InPlace, "in-place", false, "update without room for two images: remove the old one first")
	flags.StringVar(&o.UpdateAt, "update-at", "", "time of day at which the router looks for an update, as in 04:30 (default never)")
}

// printed is a script as --json shows it.
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

func writeScripts(ctx context.Context, w io.Writer, asJSON bool, folder string, scripts []routeros.Script) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return fmt.Errorf("making the output folder: %w", err)
	}
	var all []printed
	for _, s := range scripts {
		path := filepath.Join(folder, s.Name)
		_, err := archive.WriteFile(ctx, path, func(w io.Writer) error {
			_, err := io.WriteString(w, s.Text)
			return err
		})
		if err != nil {
			return err
		}
		all = append(all, printed{Script: s.Kind, Name: s.Name, Path: path})
	}
	if asJSON {
		return printJSON(w, map[string]any{"scripts": all})
	}
	for _, p := range all {
		if _, err := fmt.Fprintln(w, p.Path); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "Copy them to the router and run there: /import %s\n", all[0].Name)
	return err
}
