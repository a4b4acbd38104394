// Package flags has the options of the scripts for routers as command line flags. It is a package of its own so
// that programs without a command line don't contain them.
package flags

import (
	"strings"

	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros"
)

// For returns the flags that set options.
func For(o *routeros.Options) *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SortFlags = false
	var platforms []string
	for _, t := range platform.All() {
		platforms = append(platforms, t.Name)
	}
	flags.StringVar(&o.Name, "name", o.Name, "name of the container and its lists and directories, up to 10 characters; the interface is called veth-NAME")
	flags.StringVar(&o.Image, "image", "", "image in a registry, for example ghcr.io/me/tailscale:stable")
	flags.StringVar(&o.Tarball, "tarball", "", "path of the image's tarball on the router, instead of --image")
	flags.StringVar(&o.Disk, "disk", "", "disk or directory on the router for image and state, for example usb1 or flash (default the internal storage)")
	flags.StringVar(&o.Root, "root", o.Root, "where the image is: "+strings.Join(routeros.Roots(), ", or ")+", for boards with too little flash; only the state is on --disk then")
	flags.StringVar(&o.Arch, "arch", "", "platform of the image: "+strings.Join(platforms, ", ")+" (default chosen by the router's architecture)")
	flags.StringVar(&o.RouterOS, "routeros-version", o.RouterOS, "oldest RouterOS release that the scripts must run on")
	flags.StringSliceVar(&o.Addresses, "address", o.Addresses, "addresses of the container with prefix length: one for IPv4, optionally one for IPv6")
	flags.StringSliceVar(&o.Gateways, "gateway", o.Gateways, "the router's address in the network of each address")
	flags.StringVar(&o.Bridge, "bridge", "", "bridge that the container joins (default none)")
	flags.StringSliceVar(&o.Subnets, "subnet", nil, "networks behind the router to advertise to the tailnet")
	flags.StringSliceVar(&o.RemoteSubnets, "remote-subnet", nil, "networks behind other subnet routers that the router's own networks can reach")
	flags.BoolVar(&o.ExitNode, "exit-node", false, "offer the router as an exit node")
	flags.StringVar(&o.Hostname, "hostname", "", "name in the tailnet (default the container's name)")
	flags.StringVar(&o.LoginServer, "login-server", "", "URL of another control server than Tailscale's")
	flags.BoolVar(&o.AuthKeyFile, "auth-key-file", false, "log in with the key in the file authkey in the state directory on the router")
	flags.StringVar(&o.ExtraArgs, "extra-args", "", "more arguments for tailscale up")
	flags.StringArrayVar(&o.Env, "env", nil, "more environment variables for the container, for example GOGC=50")
	flags.IntVar(&o.Memory, "memory", 0, "soft memory limit in MiB (default none)")
	flags.IntVar(&o.Tmpfs, "tmpfs", o.Tmpfs, "size in MiB of a disk in memory for unpacking images, 0 for none")
	flags.StringSliceVar(&o.DNS, "dns", nil, "name servers of the container (default the router's)")
	flags.StringSliceVar(&o.MagicDNS, "magic-dns", o.MagicDNS, "domains that the router resolves in the tailnet")
	flags.StringVar(&o.WANList, "wan-list", o.WANList, "interface list of the way to the internet, for source NAT; empty for no NAT")
	flags.BoolVar(&o.Masquerade, "masquerade", false, "hosts behind the router see the router's address instead of tailnet addresses")
	flags.StringVar(&o.InterfaceList, "interface-list", "", "interface list that the container's interface joins, for example LAN")
	flags.BoolVar(&o.Firewall, "firewall", false, "add rules that accept forwarded packets from and to the container")
	flags.IntVar(&o.Port, "port", 0, "UDP port for direct connections, forwarded to the container, for example 41641 (default none)")
	flags.BoolVar(&o.ClampMSS, "clamp-mss", false, "lower the segment size of forwarded TCP connections to fit into the tunnel")
	flags.StringVar(&o.Registry, "registry", o.Registry, "kind of registry: "+strings.Join(routeros.Registries(), ", "))
	flags.StringVar(&o.TokenURL, "token-url", "", "URL of the registry's token server, for registries that --registry doesn't know")
	flags.StringVar(&o.Username, "username", "", "user name for the registry; the password is in the router's /container/config")
	flags.BoolVar(&o.Insecure, "insecure", false, "use plain HTTP to the registry")
	flags.BoolVar(&o.InPlace, "in-place", false, "update without space for two images: remove the old image first")
	flags.StringVar(&o.UpdateAt, "update-at", "", "time of day when the router looks for an update, for example 04:30 (default never)")
	return flags
}
