package main

import (
	"fmt"
	"slices"

	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/page/choices"
)

// section is a part of the form.
type section struct {
	Title, Intro string
	Fields       []field
	// More are rarely needed fields, which are folded at first.
	More []field
}

// field is one choice on the form. Its possible values come from the setting with the same name.
type field struct {
	Name, Label, Help string
	// Example is shown in an empty field.
	Example string
	// Options are the labels of the values, if there are only a few.
	Options []option
}

type option struct{ Value, Label string }

// sections are the sections of the form. A test compares their fields with the names of choices.
var sections = []section{
	{
		Title: "Router",
		Fields: []field{
			{
				Name: "arch", Label: "Architecture", Help: "On the router, /system/resource/print shows it as architecture-name.",
				Options: []option{
					{"", "The router’s own"}, {"arm64", "arm64"}, {"arm", "arm, 32 bits"},
					{"armv5", "arm, with the processor EN7562CT (ARMv5)"}, {"amd64", "x86, or CHR"},
				},
			},
			{Name: "routeros-version", Label: "RouterOS release", Help: "The oldest release that the scripts must run on. Later ones can do more: health checks from 7.22, restarts after a crash from 7.23.", Example: "7.24"},
		},
	},
	{
		Title: "Image",
		Intro: "The router downloads the image from a registry, or takes it from a file.",
		Fields: []field{
			{Name: "image", Label: "Image in a registry", Help: "Host, repository and tag. Updates follow the tag.", Example: "ghcr.io/me/tailscale:stable"},
			{Name: "tarball", Label: "Or a tarball on the router", Help: "The path of the file that you copy there.", Example: "usb1/tailscale-arm64.tar"},
		},
		More: []field{
			{Name: "checksum", Label: "Checksum of the tarball", Help: "Its SHA-256. Without it, the router tells tarballs apart by size and date.", Example: "sha256:…"},
			{
				Name: "registry", Label: "Kind of registry", Help: "It decides how the router asks for the image's digest.",
				Options: []option{
					{"auto", "Follows from the host"}, {"plain", "Plain: a password, or none"}, {"dockerhub", "Docker Hub"},
					{"ghcr", "GitHub"}, {"gitea", "Gitea or Forgejo"}, {"gitlab", "GitLab"},
				},
			},
			{Name: "username", Label: "User name at the registry", Help: "For private images. The password is in the router's /container/config, not here."},
			{Name: "token-url", Label: "Address of the token server", Help: "For registries of your own that need one.", Example: "https://gitlab.example/jwt/auth"},
			{Name: "insecure", Label: "Use plain HTTP to the registry", Help: "For a registry on your own network, without a certificate."},
		},
	},
	{
		Title: "Tailscale",
		Fields: []field{
			{Name: "subnet", Label: "Networks behind this router", Help: "Other machines of the tailnet can reach them, once you have approved them in the admin console. One in each line.", Example: "192.168.88.0/24"},
			{Name: "remote-subnet", Label: "Networks behind other routers", Help: "Hosts behind this router can reach them: site to site. The other router needs the same in the other direction.", Example: "192.168.89.0/24"},
			{Name: "exit-node", Label: "Offer this router as an exit node", Help: "Other machines can send all their traffic through it."},
			{Name: "hostname", Label: "Name in the tailnet", Help: "The container's name if empty.", Example: "home-router"},
			{Name: "auth-key-file", Label: "Log in with an auth key", Help: "The key is in a file on the router, never in the scripts. Without it, the container's log shows an address to log in at."},
		},
		More: []field{
			{Name: "login-server", Label: "Control server", Help: "Another one than Tailscale's, such as Headscale.", Example: "https://headscale.example"},
			{Name: "extra-args", Label: "More arguments for “tailscale up”", Help: "Separated by spaces.", Example: "--advertise-tags=tag:router"},
		},
	},
	{
		Title: "Storage",
		Fields: []field{
			{
				Name: "root", Label: "The image is kept", Help: fmt.Sprintf("In memory, only a few kB of state are on the flash, and the router fetches the image again after each boot. This takes %d MiB of free memory.", routeros.Default().StartMemory()>>20),
				Options: []option{{"disk", "on the flash or a disk"}, {"memory", "in memory, for boards with 16 MB of flash"}},
			},
			{Name: "disk", Label: "Disk or directory", Help: "Where state and image are. Empty for the internal storage. Routers with a directory flash need flash here.", Example: "usb1"},
			{Name: "in-place", Label: "Remove the old image before an update", Help: "For storage that does not hold two images. If the download fails, the router has no Tailscale until the next try."},
		},
		More: []field{
			{Name: "tmpfs", Label: "Disk in memory, MiB", Help: "Images are unpacked there, which spares the flash. 0 for none."},
		},
	},
	{
		Title: "Updates",
		Fields: []field{
			{Name: "update-at", Label: "Look for an update every day at", Help: "Hours and minutes of the router's clock. Empty for never.", Example: "04:30"},
		},
	},
	{
		Title: "Firewall",
		Fields: []field{
			{Name: "firewall", Label: "Accept forwarded packets from and to the container", Help: "For routers whose firewall ends with a rule that drops the rest."},
			{Name: "interface-list", Label: "The container joins the interface list", Help: "With LAN, the tailnet may reach the router itself, as the LAN may.", Example: "LAN"},
			{Name: "port", Label: "UDP port for direct connections", Help: "Forwarded to the container, so that others can connect without a relay. 0 for none."},
			{Name: "masquerade", Label: "Hide tailnet addresses from the networks behind the router", Help: "For networks that have no route back to the tailnet. Their hosts see the router's address."},
			{Name: "clamp-mss", Label: "Lower the TCP segment size", Help: "For hosts that never learn that their packets are too large for the tunnel."},
		},
		More: []field{
			{Name: "wan-list", Label: "Interface list of the internet", Help: "For source NAT. Empty for no NAT.", Example: "WAN"},
		},
	},
	{
		Title: "Names and addresses",
		Intro: "The defaults suit most routers.",
		More: []field{
			{Name: "name", Label: "Name of the container", Help: "Its lists and directories have this name, too. At most 10 characters."},
			{Name: "address", Label: "Addresses of the container", Help: "With prefix length: one for IPv4, and one for IPv6 if you want it. One in each line."},
			{Name: "gateway", Label: "Addresses of the router", Help: "In the network of each of the addresses above."},
			{Name: "bridge", Label: "Bridge that the container joins", Help: "Empty for a network of its own.", Example: "bridge"},
			{Name: "dns", Label: "Name servers of the container", Help: "The router's own if empty.", Example: "9.9.9.9"},
			{Name: "magic-dns", Label: "Domains that are resolved in the tailnet", Help: "ts.net for Tailscale. With Headscale, the domain of your tailnet."},
			{Name: "memory", Label: "Memory limit, MiB", Help: "RouterOS slows the container down above it. 0 for none. For small boards: 128, with GOGC=50 and GOMEMLIMIT=96MiB below."},
			{Name: "env", Label: "Environment variables", Help: "One in each line. Anyone who can read the router's settings can read them.", Example: "GOGC=50"},
		},
	},
	{
		Title: "Scripts, or an app",
		Fields: []field{
			{
				Name: choices.Script, Label: "Write", Help: "An app is managed by RouterOS's own menu /app: on arm64 and x86, with a disk, from 7.22 on. The scripts suit all boards and have more options.",
				Options: []option{{choices.Scripts, "scripts"}, {choices.App, "an app"}},
			},
			{Name: choices.Site, Label: "Sites of a store", Help: "Only for an app: one site with its networks in each line. Each site gets an app of its own.", Example: "home=192.168.88.0/24"},
		},
	},
}

// kind is the appearance of a field.
type kind string

const (
	kindText   kind = "text"
	kindNumber kind = "number"
	kindSwitch kind = "switch"
	kindList   kind = "list"
	kindSelect kind = "select"
	kindRadio  kind = "radio"
)

// control is a field with everything that follows from its setting.
type control struct {
	field
	Kind kind
	// Value is the initial value.
	Value string
	On    bool
	Rows  int
}

// fewest is the maximum number of values for radio buttons.
const fewest = 2

// controls completes fields with their settings and initial choices.
func controls(fields []field, initial choices.Choices) ([]control, error) {
	o := routeros.Default()
	settings := map[string]routeros.Setting{}
	for _, s := range o.Settings() {
		if texts, ok := initial[s.Name]; ok {
			if err := s.Set(texts); err != nil {
				return nil, err
			}
		}
		settings[s.Name] = s
	}
	var all []control
	for _, f := range fields {
		s, ok := settings[f.Name]
		switch {
		case ok:
		case f.Name == choices.Script:
			kind := choices.Scripts
			if initial.Get(choices.Script) == choices.App {
				kind = choices.App
			}
			s = routeros.Setting{Value: &kind, Choices: []string{choices.Scripts, choices.App}}
		case f.Name == choices.Site:
			sites := initial[choices.Site]
			s = routeros.Setting{Value: &sites}
		default:
			return nil, fmt.Errorf("the field %q is of no option", f.Name)
		}
		c, err := newControl(f, s)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func newControl(f field, s routeros.Setting) (control, error) {
	c := control{field: f}
	switch v := s.Value.(type) {
	case *bool:
		c.Kind, c.On = kindSwitch, *v
	case *int:
		c.Kind, c.Value = kindNumber, fmt.Sprint(*v)
	case *[]string:
		c.Kind = kindList
		for _, text := range *v {
			c.Value += text + "\n"
		}
		c.Rows = max(2, len(*v))
	case *string:
		c.Kind, c.Value = kindText, *v
		if len(s.Choices) > 0 {
			c.Kind = kindSelect
			if len(s.Choices) <= fewest {
				c.Kind = kindRadio
			}
		}
	}
	for _, value := range s.Choices {
		if !slices.ContainsFunc(f.Options, func(o option) bool { return o.Value == value }) {
			return c, fmt.Errorf("the field %s has no label for %q", f.Name, value)
		}
	}
	return c, nil
}
