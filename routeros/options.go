// Package routeros writes scripts for the router: to install the container with everything that it needs, to update
// it, to remove everything again, and to diagnose problems.
//
// The arguments of each command, and the releases that have them, are from /console/inspect on RouterOS. Everything
// that the install script adds has a comment, by which the other scripts find it.
package routeros

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe/address"
)

// Options are the user's choices for an installation on a router. Start with Default, change what should be
// different, and pass them to New, which checks them.
type Options struct {
	// Name is the name of the container, its lists and its directories. The interface is called veth-NAME.
	Name string
	// Image is the reference of an image in a registry: host/repository:tag.
	Image string
	// Tarball is the path of an image's tarball on the router, instead of Image.
	Tarball string
	// Checksum is the tarball's SHA-256 as sha256: and 64 digits. The router then identifies the image by it. If it
	// is empty, the router identifies the image by the tarball's size and date.
	Checksum string
	// Disk is the disk or directory on the router for Tailscale's state, and for the image unless Root is RootMemory.
	// If it is empty, they are on the internal storage.
	Disk string
	// Root is where the image and the root directory are: RootDisk, or RootMemory for boards with too little flash.
	// In memory, only the state is on Disk, and each boot fetches the image.
	Root string
	// Arch is the platform of the image. If it is empty, the router's architecture decides.
	Arch string
	// RouterOS is the oldest release that the scripts must run on. They refuse older ones.
	RouterOS string
	// Addresses are the addresses of the container with prefix length: one for IPv4, and optionally one for IPv6.
	Addresses []string
	// Gateways are the router's addresses in the networks of Addresses, one for each.
	Gateways []string
	// Bridge is the bridge of the router that the container joins. If it is empty, the container has a network of its
	// own.
	Bridge string
	// Subnets are the networks to advertise to the tailnet.
	Subnets []string
	// RemoteSubnets are networks behind other subnet routers that the router's own networks can reach.
	RemoteSubnets []string
	// ExitNode offers the router as an exit node.
	ExitNode bool
	// Hostname is the name in the tailnet. The default is the container's name.
	Hostname string
	// LoginServer is the address of another control server than Tailscale's.
	LoginServer string
	// AuthKeyFile is true if the login key is in the file authkey in the state directory.
	AuthKeyFile bool
	// ExtraArgs are more arguments for "tailscale up", separated by spaces.
	ExtraArgs string
	// Env are more environment variables for the container, for example GOGC=50.
	Env []string
	// Memory is the soft memory limit of the container in MiB. 0 means none.
	Memory int
	// Tmpfs is the size in MiB of a disk in memory for unpacking images. 0 means none. If Root is RootMemory, it also
	// contains the image.
	Tmpfs int
	// DNS are the name servers of the container. The default is the router's.
	DNS []string
	// MagicDNS are the domains that the router resolves in the tailnet.
	MagicDNS []string
	// WANList is the interface list of the internet connection, for source NAT. If it is empty, there is no NAT.
	WANList string
	// Masquerade hides tailnet addresses from hosts behind the router: they see the router's address.
	Masquerade bool
	// InterfaceList is an interface list that the container's interface joins, for example LAN.
	InterfaceList string
	// Firewall adds rules that accept forwarded packets from and to the container.
	Firewall bool
	// Port is the UDP port for direct connections from other nodes. If it is 0, the port is arbitrary and not
	// forwarded.
	Port int
	// ClampMSS lowers the segment size of forwarded TCP connections so that packets fit into the tunnel.
	ClampMSS bool
	// Registry is the kind of the image's registry. RegistryAuto chooses by its host.
	Registry string
	// TokenURL is the address of the registry's token server, if Registry doesn't determine it.
	TokenURL string
	// Username is the user name for the registry. The password is in the router's container settings.
	Username string
	// Insecure uses plain HTTP to the registry.
	Insecure bool
	// InPlace removes the old container before fetching the new image, for storage with too little space for two.
	InPlace bool
	// UpdateAt is the time of day when the router looks for an update, for example 04:30. If it is empty, it never
	// does.
	UpdateAt string
}

// MinimumRouterOS is the oldest supported release: the first in which mounts are in lists, like variables.
const MinimumRouterOS = "7.21"

// minimumTmpfs is the size in MiB of the smallest disk in memory on which an image can be unpacked.
const minimumTmpfs = 16

// Default returns the options of an installation that only lacks an image.
//
// The network is the smallest possible one, at the end of a private range. Container engines use that range from its
// beginning.
func Default() Options {
	return Options{
		Name:      "tailscale",
		Root:      RootDisk,
		RouterOS:  MinimumRouterOS,
		Addresses: []string{"172.31.255.254/30"},
		Gateways:  []string{"172.31.255.253"},
		Tmpfs:     32,
		MagicDNS:  []string{"ts.net"},
		WANList:   "WAN",
		Registry:  RegistryAuto,
	}
}

var (
	// Linux limits an interface name to 15 characters, and "veth-" takes five of them.
	nameForm     = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$`)
	diskForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)
	releaseForm  = regexp.MustCompile(`^7\.([0-9]{1,3})(\.[0-9]+)?$`)
	labelForm    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	variableForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	checksumForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	timeForm     = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

	// tailnet and tailnetSix are the address ranges of all tailnets.
	tailnet    = netip.MustParsePrefix("100.64.0.0/10")
	tailnetSix = netip.MustParsePrefix("fd7a:115c:a1e0::/48")
	// viaSix is the part of tailnetSix for IPv4 networks behind subnet routers (4via6).
	viaSix      = netip.MustParsePrefix("fd7a:115c:a1e0:b1a::/64")
	ownVariable = map[string]string{
		"TS_AUTHKEY": "the key file", "TS_AUTH_KEY": "the key file", "TS_ROUTES": "the subnets",
		"TS_HOSTNAME": "the hostname", "TS_EXTRA_ARGS": "the extra arguments", "TS_STATE_DIR": "the mount",
		"TS_LOGIN_SERVER": "the login server",
	}
	secretArgument = regexp.MustCompile(`(^|\s)--?auth-?key`)
	acceptArgument = regexp.MustCompile(`^--?accept-routes(=.*)?$`)
	portArgument   = regexp.MustCompile(`(^|\s)--?port\b`)
	ownArgument    = regexp.MustCompile(`(^|\s)--?(advertise-routes|advertise-exit-node|hostname|login-server)\b`)
)

// check returns an error with everything about the options that is wrong on any router.
func (o *Options) check() error {
	var p problems
	o.checkNames(&p)
	o.checkImage(&p)
	o.checkAddresses(&p)
	o.checkTailscale(&p)
	o.checkRemotes(&p)
	o.checkPort(&p)
	o.checkRoot(&p)
	if o.Memory != 0 && o.Memory < 32 {
		p.add("memory", "memory limit of %d MiB: want 32 or more, or 0 for none", o.Memory)
	}
	if o.Tmpfs != 0 && (o.Tmpfs < minimumTmpfs || o.Tmpfs > 1024) {
		p.add("tmpfs", "disk in memory of %d MiB: want %d to 1024, or 0 for none", o.Tmpfs, minimumTmpfs)
	}
	if o.UpdateAt != "" && !timeForm.MatchString(o.UpdateAt) {
		p.add("update-at", "malformed time %q: want hours and minutes, such as 04:30", o.UpdateAt)
	}
	return errors.Join(p...)
}

func (o *Options) checkNames(p *problems) {
	if !nameForm.MatchString(o.Name) {
		p.add("name", "malformed name %q: want up to 10 lower-case letters, digits and hyphens, a letter first (the interface veth-NAME can have 15)", o.Name)
	}
	o.Disk = strings.Trim(o.Disk, "/")
	if o.Disk != "" && !diskForm.MatchString(o.Disk) {
		p.add("disk", "malformed disk %q: want the name of a disk or directory in /file, such as disk1, usb1-part1 or flash", o.Disk)
	}
	if minor := releaseForm.FindStringSubmatch(o.RouterOS); minor == nil {
		p.add("routeros-version", "malformed RouterOS version %q: want one such as %s or 7.24.2", o.RouterOS, MinimumRouterOS)
	} else if !o.atLeast(21) {
		p.add("routeros-version", "RouterOS %s is too old: want %s or later", o.RouterOS, MinimumRouterOS)
	}
	if o.Arch != "" {
		if _, err := platform.Parse(o.Arch); err != nil {
			p.put("arch", err)
		}
	}
	checkText(p, "bridge", "bridge", o.Bridge)
	checkText(p, "wan-list", "interface list", o.WANList)
	checkText(p, "interface-list", "interface list", o.InterfaceList)
	if o.Bridge != "" && (o.InterfaceList != "" || o.Firewall || o.ClampMSS) {
		p.add("bridge", "with the bridge %q, the bridge's own interface lists and rules apply: leave out the interface list, the firewall and the segment size", o.Bridge)
	}
}

func (o *Options) checkImage(p *problems) {
	o.Tarball = strings.TrimPrefix(o.Tarball, "/")
	checkText(p, "tarball", "tarball", o.Tarball)
	switch {
	case o.Checksum == "":
	case o.Tarball == "":
		p.add("checksum", "a checksum without a tarball: want both, or neither")
	case !checksumForm.MatchString(o.Checksum):
		p.add("checksum", "malformed checksum %q: want sha256: and 64 hexadecimal digits", o.Checksum)
	}
	switch {
	case o.Image == "" && o.Tarball == "":
		p.add("image", "neither an image nor a tarball: want an image such as ghcr.io/me/tailscale:stable, or the path of a tarball on the router")
	case o.Image != "" && o.Tarball != "":
		p.add("image", "both the image %q and the tarball %q: want one of them", o.Image, o.Tarball)
	case o.Image != "":
		if _, err := newExchange(*o); err != nil {
			p.put("image", err)
		}
	case o.Username != "" || o.TokenURL != "" || o.Insecure || o.Registry != RegistryAuto:
		p.add("tarball", "the tarball %q comes from no registry: leave out registry, token address, user name and plain HTTP", o.Tarball)
	}
}

func (o *Options) checkAddresses(p *problems) {
	families, malformed := map[bool]bool{}, false
	gateways := true // whether each of them is an address
	for _, text := range o.Gateways {
		if _, err := netip.ParseAddr(text); err != nil {
			gateways = false
			p.add("gateway", "malformed gateway %q: want an address such as 172.31.255.253", text)
		}
	}
	for _, text := range o.Addresses {
		address, err := netip.ParsePrefix(text)
		if err != nil || address.Addr().Zone() != "" {
			malformed = true
			p.add("address", "malformed address %q: want one with a prefix length, such as 172.31.255.254/30", text)
			continue
		}
		six := address.Addr().Is6()
		if families[six] {
			p.add("address", "two addresses of one family, the second is %s: want at most one for IPv4 and one for IPv6", address)
			continue
		}
		families[six] = true
		if address.Overlaps(tailnet) || address.Overlaps(tailnetSix) {
			p.add("address", "the address %s is in the tailnet's own range: want another", address)
		}
		if !isHost(address.Addr(), address) {
			p.add("address", "the address %s is the first or last of its network: want a host's address", address)
		}
		if _, err := o.gatewayOf(address); err != nil && gateways {
			p.put("gateway", err)
		}
	}
	switch {
	case !families[false] && !malformed:
		p.add("address", "no IPv4 address for the container: want one such as 172.31.255.254/30")
	case len(o.Gateways) > len(o.Addresses):
		p.add("gateway", "%d gateways for %d addresses: want one for each", len(o.Gateways), len(o.Addresses))
	}
	for _, text := range o.DNS {
		if _, err := netip.ParseAddr(text); err != nil {
			p.add("dns", "malformed name server %q: want an address such as 9.9.9.9", text)
		}
	}
	for _, domain := range o.MagicDNS {
		if !isDomain(domain) {
			p.add("magic-dns", "malformed domain %q: want one such as ts.net", domain)
		}
	}
}

// gatewayOf returns the gateway in the network of an address.
func (o *Options) gatewayOf(address netip.Prefix) (netip.Addr, error) {
	for _, text := range o.Gateways {
		if g, err := netip.ParseAddr(text); err == nil && g != address.Addr() && isHost(g, address) {
			return g, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("none of the gateways %q is another address of the network %s: want the router's address there",
		o.Gateways, address.Masked())
}

// isHost reports whether an address of a network can be a host's. In IPv4, the first and the last one can't.
func isHost(a netip.Addr, network netip.Prefix) bool {
	if !network.Contains(a) || a == network.Masked().Addr() {
		return false
	}
	return a.Is6() || network.Contains(a.Next())
}

func (o *Options) checkTailscale(p *problems) {
	for _, text := range o.Subnets {
		subnet, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			p.add("subnet", "malformed subnet %q: want one such as 192.168.88.0/24", text)
		case subnet != subnet.Masked():
			p.add("subnet", "the subnet %q is an address, not a network: want %s", text, subnet.Masked())
		case subnet.Bits() == 0:
			p.add("subnet", "the subnet %q is everything: want an exit node instead", text)
		case isVia(subnet):
		case subnet.Overlaps(tailnet) || subnet.Overlaps(tailnetSix):
			p.add("subnet", "the subnet %q is in the tailnet's own range: want another network, or a 4via6 network in %s", text, viaSix)
		}
	}
	if o.Hostname != "" && !IsHostname(o.Hostname) {
		p.add("hostname", "malformed hostname %q: want up to 63 letters, digits and hyphens", o.Hostname)
	}
	if o.LoginServer != "" && !isAddress(o.LoginServer) {
		p.add("login-server", "malformed login server %q: want an http or https address without a user name and password", address.Redact(o.LoginServer))
	}
	checkText(p, "extra-args", "extra arguments", o.ExtraArgs)
	switch {
	case secretArgument.MatchString(o.ExtraArgs):
		// The error does not repeat the arguments.
		p.add("extra-args", "the extra arguments contain an auth key, which anyone could read in the router's settings: want the key file")
	case ownArgument.MatchString(o.ExtraArgs):
		p.add("extra-args", "the extra arguments %q contain one that has its own option: want the option", o.ExtraArgs)
	}
	given := map[string]bool{}
	for _, variable := range o.Env {
		name, value, ok := strings.Cut(variable, "=")
		switch {
		case !ok || !variableForm.MatchString(name):
			p.add("env", "malformed name of a variable %q: want upper-case letters, digits and _, as in GOGC=50", name)
		case given[name]:
			p.add("env", "the variable %s is given twice: want each one once", name)
		case ownVariable[name] != "":
			p.add("env", "the variable %s is set by another option, %s: want that option", name, ownVariable[name])
		}
		given[name] = true
		checkText(p, "env", "variable "+name, value)
	}
}

// checkRemotes checks for networks that can't be behind another router.
func (o *Options) checkRemotes(p *problems) {
	for _, text := range o.RemoteSubnets {
		remote, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			p.add("remote-subnet", "malformed remote subnet %q: want a network such as 192.168.89.0/24", text)
		case remote != remote.Masked():
			p.add("remote-subnet", "remote subnet %q is an address: want a network such as %s", text, remote.Masked())
		case remote.Bits() == 0:
			p.add("remote-subnet", "remote subnet %q is everything: want a network such as 192.168.89.0/24", text)
		case !isVia(remote) && (remote.Overlaps(tailnet) || remote.Overlaps(tailnetSix)):
			p.add("remote-subnet", "remote subnet %q is in the tailnet's own range: want another network, or a 4via6 network in %s", text, viaSix)
		default:
			o.checkReach(p, remote)
		}
	}
	for argument := range strings.FieldsSeq(o.ExtraArgs) {
		if _, value, _ := strings.Cut(argument, "="); len(o.RemoteSubnets) > 0 && acceptArgument.MatchString(argument) && value != "" && value != "true" {
			p.add("extra-args", "the extra argument %q keeps the remote subnets %q out of reach: leave one of them out", argument, o.RemoteSubnets)
		}
	}
}

// checkReach checks for reasons why the router would not send packets for a network to the container.
func (o *Options) checkReach(p *problems, remote netip.Prefix) {
	if remote.Addr().Is6() && !slices.ContainsFunc(o.Addresses, func(a string) bool { return strings.Contains(a, ":") }) {
		p.add("remote-subnet", "remote subnet %q: the container has no IPv6 address to reach it through: want one among the addresses", remote)
	}
	for _, own := range slices.Concat(o.Subnets, o.Addresses) {
		if network, err := netip.ParsePrefix(own); err == nil && network.Overlaps(remote) {
			p.add("remote-subnet", "remote subnet %q overlaps this router's own %q: want a network that is only elsewhere", remote, own)
		}
	}
}

func (o *Options) checkPort(p *problems) {
	switch {
	case o.Port == 0:
	case o.Port < 1 || o.Port > 65535:
		p.add("port", "port %d: want 1 to 65535, or 0 for none", o.Port)
	case o.WANList == "":
		p.add("port", "port %d: want the interface list that it is forwarded from, too", o.Port)
	}
	for _, variable := range o.Env {
		if value, ok := strings.CutPrefix(variable, "TS_TAILSCALED_EXTRA_ARGS="); ok && o.Port != 0 && portArgument.MatchString(value) {
			p.add("env", "both port %d and a port in the variable %q: want one of them", o.Port, variable)
		}
	}
}

// isVia reports whether a network is a 4via6 network: IPv6 addresses for an IPv4 network, which subnet routers
// advertise although they are in the tailnet's own range.
func isVia(network netip.Prefix) bool {
	return network.Bits() >= viaSix.Bits() && viaSix.Contains(network.Addr())
}

// diskOf returns the disk or top directory of a path on the router, or "".
func diskOf(path string) string {
	disk, _, ok := strings.Cut(path, "/")
	if !ok {
		return ""
	}
	return disk
}

// checkText checks for characters that can't be in any name or text on a router. Everything else can be quoted.
func checkText(p *problems, option, what, text string) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		p.add(option, "malformed %s %q: want text without control characters", what, text)
	}
}

func isDomain(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if !labelForm.MatchString(label) {
			return false
		}
	}
	return strings.Contains(text, ".") && len(text) < 254
}

func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https") && !strings.ContainsAny(text, " \t\r\n")
}

// atLeast reports whether the scripts only have to run on RouterOS 7.minor or later.
func (o Options) atLeast(minor int) bool {
	if found := releaseForm.FindStringSubmatch(o.RouterOS); found != nil {
		given, err := strconv.Atoi(found[1])
		return err == nil && given >= minor
	}
	return false
}

// variables returns the container's environment, sorted by name.
func (o Options) variables() []string {
	all := slices.Clone(o.Env)
	put := func(name, value string) {
		if value != "" {
			all = append(all, name+"="+value)
		}
	}
	put("TS_HOSTNAME", o.Hostname)
	put("TS_ROUTES", strings.Join(o.Subnets, ","))
	var arguments []string
	if o.LoginServer != "" {
		arguments = append(arguments, "--login-server="+o.LoginServer)
	}
	if o.ExitNode {
		arguments = append(arguments, "--advertise-exit-node")
	}
	arguments = append(arguments, strings.Fields(o.ExtraArgs)...)
	if len(o.RemoteSubnets) > 0 && !slices.ContainsFunc(arguments, acceptArgument.MatchString) {
		arguments = append(arguments, "--accept-routes")
	}
	put("TS_EXTRA_ARGS", strings.Join(arguments, " "))
	if o.Port != 0 {
		const name = "TS_TAILSCALED_EXTRA_ARGS="
		port := fmt.Sprintf("--port=%d", o.Port)
		if i := slices.IndexFunc(all, func(v string) bool { return strings.HasPrefix(v, name) }); i >= 0 {
			all[i] += " " + port
		} else {
			all = append(all, name+port)
		}
	}
	if o.AuthKeyFile {
		put("TS_AUTHKEY", "file:"+StateDir+"/"+authKeyName)
	}
	slices.Sort(all)
	return all
}

// IsHostname reports whether a text can be the router's name in the tailnet: a single label.
func IsHostname(text string) bool { return labelForm.MatchString(text) }

// InTailnet reports whether an address is in the range of all tailnets.
func InTailnet(a netip.Addr) bool { return tailnet.Contains(a) || tailnetSix.Contains(a) }
