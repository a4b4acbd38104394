package routeros

import (
	"fmt"
	"strings"
)

// Addition is one entry that the install script adds to the router, or the setup script of an app.
type Addition struct {
	// Menu is the RouterOS menu of the entry, for example /ip/route.
	Menu string
	// What describes the entry and its purpose.
	What string
}

type additions []Addition

func (a *additions) add(menu, format string, arguments ...any) {
	*a = append(*a, Addition{menu, fmt.Sprintf(format, arguments...)})
}

// Additions checks the options and lists the entries that the install script adds to the router.
func Additions(o Options) ([]Addition, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	d := newData(o)
	var all additions
	all.add("/container", "the container %s, started from %s", d.Name, d.Source())
	all.add("/container/mounts", "the directory %s on the router, which keeps the router's identity in the tailnet", d.State)
	d.addVariables(&all)
	if d.InMemory() {
		all.add("/disk", "a disk in memory of at most %d MiB, %s, for the image and the root directory", d.Tmpfs, d.TmpfsSlot)
	} else if d.Tmpfs > 0 {
		all.add("/disk", "a disk in memory of at most %d MiB, %s, for unpacking images, if no tmpdir is set", d.Tmpfs, d.TmpfsSlot)
	}
	all.add("/interface/veth", "the interface %s, with the address %s inside the container", d.Interface, strings.Join(d.Addresses, " and "))
	if d.Bridge != "" {
		all.add("/interface/bridge/port", "%s joins the bridge %s", d.Interface, d.Bridge)
	} else {
		all.add("/ip/address", "%s/%d, the router's own address towards the container", d.Gateway, d.Length)
		if d.LengthSix > 0 {
			all.add("/ipv6/address", "%s/%d, the router's own address towards the container", d.GatewaySix, d.LengthSix)
		}
	}
	for _, r := range d.Routes() {
		all.add(r.Menu, "a route to %s through %s: %s", r.Network, r.Gateway, d.purpose(r.Network))
	}
	if d.Port != 0 {
		all.add("/ip/firewall/nat", "UDP port %d from the internet (%s) goes to the container", d.Port, d.WANList)
	}
	if d.WANList != "" && d.Bridge == "" {
		all.add("/ip/firewall/nat", "the container reaches the internet (%s) with the router's address", d.WANList)
		if d.PrivateSix() {
			all.add("/ipv6/firewall/nat", "the container reaches the internet (%s) with the router's address", d.WANList)
		}
	}
	d.addRules(&all)
	if d.WaitsForDisk() {
		all.add("/system/scheduler", "starts the container after a boot, as soon as %s is there", d.Disk)
	}
	if d.InMemory() {
		all.add("/system/scheduler", "runs %s after each boot, which fetches the image again", d.StartFile)
	}
	if d.UpdateAt != "" {
		all.add("/system/scheduler", "runs %s every day at %s", d.UpdateFile, d.UpdateAt)
	}
	return all, nil
}

// AppAdditions checks the options and lists the entries that RouterOS and the setup script add to a router for an
// app, or for the app of each site.
func AppAdditions(o Options, sites []Site) ([]Addition, error) {
	installations, err := o.installations(sites)
	if err != nil {
		return nil, err
	}
	var all additions
	for _, d := range installations {
		all.add("/app", "the app %s with its container, interface, address and storage, which RouterOS chooses", d.AppName)
		for _, r := range d.Routes() {
			all.add(r.Menu, "a route to %s through the app %s: %s", r.Network, d.AppName, d.purpose(r.Network))
		}
		d.addRules(&all)
		all.add("/system/scheduler", "runs %s again when the app %s gets another address", d.AppName+"-app-setup.rsc", d.AppName)
	}
	return all, nil
}

// purpose describes the use of a route.
func (d data) purpose(network string) string {
	if network == d.Tailnet.String() || network == d.TailnetSix.String() {
		return "the way to the tailnet"
	}
	return "a network behind another router"
}

func (d data) addVariables(all *additions) {
	for _, v := range d.Variables {
		all.add("/container/envs", "the variable %s=%s", v.Name, v.Value)
	}
}

// addRules lists the entries that are the same for an installation and an app.
func (d data) addRules(all *additions) {
	families := []string{"/ip"}
	if d.LengthSix > 0 {
		families = append(families, "/ipv6")
	}
	link := d.Interface
	if d.AppName != "" {
		link = "the app's interface"
	}
	if d.InterfaceList != "" {
		all.add("/interface/list/member", "%s joins the interface list %s, so that the list's rules apply", link, d.InterfaceList)
	}
	for _, family := range families {
		if d.WANList != "" && d.ExitNode {
			all.add(family+"/firewall/nat", "machines of the tailnet reach the internet (%s) with the router's address: the exit node", d.WANList)
		}
		if d.Masquerade {
			all.add(family+"/firewall/nat", "machines of the tailnet reach all other networks with the router's address")
		}
	}
	for _, rules := range d.rules() {
		all.add(rules.Menu, "packets from the container may be forwarded")
		all.add(rules.Menu, "packets to the container may be forwarded")
	}
	for _, c := range d.Clamps() {
		all.add(c.Menu, "TCP segments to the tailnet have at most %d bytes", c.MSS)
		all.add(c.Menu, "TCP segments from the tailnet have at most %d bytes", c.MSS)
	}
	for _, domain := range d.MagicDNS {
		all.add("/ip/dns/static", "names in %s are resolved in the tailnet", domain)
	}
}

// rules returns the filter rules of the firewall, if the options ask for them.
func (d data) rules() []ruleSet {
	if !d.Firewall {
		return nil
	}
	return d.Forward()
}
