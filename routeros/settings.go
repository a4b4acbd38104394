package routeros

import (
	"fmt"
	"strconv"
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// Setting is one option as the user sets it: a flag of the command, a field of the page.
type Setting struct {
	// Name is the flag's name, for example remote-subnet.
	Name string
	// Value points to the option: *string, *bool, *int or *[]string.
	Value any
	// Usage describes the option in one line.
	Usage string
	// Choices are the accepted values, if there are only a few.
	Choices []string
	// Whole is true if a comma is part of a value. Otherwise commas separate values.
	Whole bool
}

// Settings returns all options, in the order in which users see them.
func (o *Options) Settings() []Setting {
	var platforms []string
	for _, t := range platform.All() {
		platforms = append(platforms, t.Name)
	}
	return []Setting{
		{Name: "name", Value: &o.Name, Usage: "name of the container and its lists and directories, up to 10 characters; the interface is called veth-NAME"},
		{Name: "image", Value: &o.Image, Usage: "image in a registry, for example ghcr.io/me/tailscale:stable"},
		{Name: "tarball", Value: &o.Tarball, Usage: "path of the image's tarball on the router, instead of --image"},
		{Name: "checksum", Value: &o.Checksum, Usage: "SHA-256 of the tarball, as sha256: and 64 digits (default the router tells tarballs apart by size and date)"},
		{Name: "disk", Value: &o.Disk, Usage: "disk or directory on the router for image and state, for example usb1 or flash (default the internal storage)"},
		{Name: "root", Value: &o.Root, Choices: Roots(), Usage: "where the image is: " + strings.Join(Roots(), ", or ") + ", for boards with too little flash; only the state is on --disk then"},
		{Name: "arch", Value: &o.Arch, Choices: platforms, Usage: "platform of the image: " + strings.Join(platforms, ", ") + " (default chosen by the router's architecture)"},
		{Name: "routeros-version", Value: &o.RouterOS, Usage: "oldest RouterOS release that the scripts must run on"},
		{Name: "address", Value: &o.Addresses, Usage: "addresses of the container with prefix length: one for IPv4, optionally one for IPv6"},
		{Name: "gateway", Value: &o.Gateways, Usage: "the router's address in the network of each address"},
		{Name: "bridge", Value: &o.Bridge, Usage: "bridge that the container joins (default none)"},
		{Name: "subnet", Value: &o.Subnets, Usage: "networks behind the router to advertise to the tailnet"},
		{Name: "remote-subnet", Value: &o.RemoteSubnets, Usage: "networks behind other subnet routers that the router's own networks can reach"},
		{Name: "exit-node", Value: &o.ExitNode, Usage: "offer the router as an exit node"},
		{Name: "hostname", Value: &o.Hostname, Usage: "name in the tailnet (default the container's name)"},
		{Name: "login-server", Value: &o.LoginServer, Usage: "URL of another control server than Tailscale's"},
		{Name: "auth-key-file", Value: &o.AuthKeyFile, Usage: "log in with the key in the file authkey in the state directory on the router"},
		{Name: "extra-args", Value: &o.ExtraArgs, Usage: "more arguments for tailscale up"},
		{Name: "env", Value: &o.Env, Whole: true, Usage: "more environment variables for the container, for example GOGC=50"},
		{Name: "memory", Value: &o.Memory, Usage: "soft memory limit in MiB (default none)"},
		{Name: "tmpfs", Value: &o.Tmpfs, Usage: "size in MiB of a disk in memory for unpacking images, 0 for none"},
		{Name: "dns", Value: &o.DNS, Usage: "name servers of the container (default the router's)"},
		{Name: "magic-dns", Value: &o.MagicDNS, Usage: "domains that the router resolves in the tailnet"},
		{Name: "wan-list", Value: &o.WANList, Usage: "interface list of the way to the internet, for source NAT; empty for no NAT"},
		{Name: "masquerade", Value: &o.Masquerade, Usage: "hosts behind the router see the router's address instead of tailnet addresses"},
		{Name: "interface-list", Value: &o.InterfaceList, Usage: "interface list that the container's interface joins, for example LAN"},
		{Name: "firewall", Value: &o.Firewall, Usage: "add rules that accept forwarded packets from and to the container"},
		{Name: "port", Value: &o.Port, Usage: "UDP port for direct connections, forwarded to the container, for example 41641 (default none)"},
		{Name: "clamp-mss", Value: &o.ClampMSS, Usage: "lower the segment size of forwarded TCP connections to fit into the tunnel"},
		{Name: "registry", Value: &o.Registry, Choices: Registries(), Usage: "kind of registry: " + strings.Join(Registries(), ", ")},
		{Name: "token-url", Value: &o.TokenURL, Usage: "URL of the registry's token server, for registries that --registry doesn't know"},
		{Name: "username", Value: &o.Username, Usage: "user name for the registry; the password is in the router's /container/config"},
		{Name: "insecure", Value: &o.Insecure, Usage: "use plain HTTP to the registry"},
		{Name: "in-place", Value: &o.InPlace, Usage: "update without space for two images: remove the old image first"},
		{Name: "update-at", Value: &o.UpdateAt, Usage: "time of day when the router looks for an update, for example 04:30 (default never)"},
	}
}

// Get returns the option's values as texts: one text, or any number for a list.
func (s Setting) Get() []string {
	switch v := s.Value.(type) {
	case *bool:
		return []string{strconv.FormatBool(*v)}
	case *int:
		return []string{strconv.Itoa(*v)}
	case *[]string:
		return *v
	case *string:
		return []string{*v}
	}
	panic(fmt.Sprintf("the setting %s has a value of type %T", s.Name, s.Value))
}

// Set changes the option. A list accepts any number of texts, other options exactly one.
func (s Setting) Set(texts []string) error {
	if list, ok := s.Value.(*[]string); ok {
		*list = s.split(texts)
		return nil
	}
	if len(texts) != 1 {
		return newProblem(s.Name, "%d values for %s: want one", len(texts), s.Name)
	}
	text := strings.TrimSpace(texts[0])
	switch v := s.Value.(type) {
	case *bool:
		value, err := strconv.ParseBool(text)
		if err != nil {
			return newProblem(s.Name, "%s is %q: want true or false", s.Name, text)
		}
		*v = value
	case *int:
		value, err := strconv.Atoi(text)
		if err != nil {
			return newProblem(s.Name, "%s is %q: want a whole number", s.Name, text)
		}
		*v = value
	case *string:
		*v = text
	}
	return nil
}

// split splits texts with several values, and removes empty ones.
func (s Setting) split(texts []string) []string {
	ends := ", \t\r\n"
	if s.Whole {
		ends = "\r\n"
	}
	var all []string
	for _, text := range texts {
		for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(ends, r) }) {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}
