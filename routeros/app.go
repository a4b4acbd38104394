package routeros

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// AppKinds are the files of an app: the app itself, or a store with an app for each site; the script with the
// commands that an app can't contain; and the script that undoes them.
var AppKinds = []string{kindApp, "app-setup", "app-remove"}

const kindApp = "app"

// appRelease is the first release that supports custom apps.
const appRelease = 22

// Site is one of several places that each have their own app in a store.
type Site struct {
	// Name is the name in the tailnet, and the last part of the app's name.
	Name string
	// Subnets are advertised to the tailnet, and to the other sites.
	Subnets []string
}

// ParseSites parses sites, for example home=192.168.88.0/24,10.0.0.0/8.
func ParseSites(texts []string) ([]Site, error) {
	var all []Site
	for _, text := range texts {
		name, subnets, ok := strings.Cut(text, "=")
		if !ok || !nameForm.MatchString(name) {
			return nil, newProblem("site", "malformed site %q: want a name of up to 10 lower-case letters, digits and hyphens, and networks, such as home=192.168.88.0/24", text)
		}
		all = append(all, Site{name, slices.DeleteFunc(strings.Split(subnets, ","), func(s string) bool { return s == "" })})
	}
	return all, nil
}

// App checks the options and returns the files of an app for RouterOS's /app menu. With sites, it returns a store
// with an app for each site, and scripts for each. Each site gets routes to the networks of the other sites.
func App(o Options, sites []Site) ([]Script, error) {
	installations, err := o.installations(sites)
	if err != nil {
		return nil, err
	}
	apps := []appYAML{}
	for _, d := range installations {
		apps = append(apps, d.app())
	}
	all := []Script{{Kind: kindApp, Name: o.Name + ".tikapp.yaml"}}
	var content any = apps[0]
	if len(sites) > 0 {
		content, all[0].Name = apps, o.Name+".tikappstore.yaml"
	}
	text, err := encode(content)
	if err != nil {
		return nil, fmt.Errorf("writing the app: %w", err)
	}
	all[0].Text = text
	for _, d := range installations {
		for _, kind := range AppKinds[1:] {
			var b strings.Builder
			if err := templates.ExecuteTemplate(&b, kind+".rsc", d); err != nil {
				return nil, fmt.Errorf("writing the %s script: %w", kind, err)
			}
			all = append(all, Script{kind, d.AppName + "-" + kind + ".rsc", b.String()})
		}
	}
	return all, nil
}

// installations returns the data for the app of each site, or for the only app.
func (o Options) installations(sites []Site) ([]data, error) {
	if err := o.checkApp(sites); err != nil {
		return nil, err
	}
	if !o.atLeast(appRelease) {
		o.RouterOS = fmt.Sprintf("7.%d", appRelease)
	}
	base := o.Name
	var all []data
	for _, each := range o.perSite(sites) {
		if err := each.check(); err != nil {
			if len(sites) > 0 {
				return nil, fmt.Errorf("site %s: %w", each.Name, err)
			}
			return nil, err
		}
		d := newData(each)
		d.AppName, d.Link, d.Store = base, "$link", len(sites) > 0
		if d.Store {
			d.AppName += "-" + each.Name
		}
		all = append(all, d)
	}
	return all, nil
}

// perSite returns the options of each site, or the only options.
func (o Options) perSite(sites []Site) []Options {
	if len(sites) == 0 {
		return []Options{o}
	}
	var all []Options
	for i, site := range sites {
		each := o
		each.Name, each.Hostname, each.Subnets = site.Name, site.Name, site.Subnets
		each.RemoteSubnets = slices.Clone(o.RemoteSubnets)
		for j, other := range sites {
			if i != j {
				each.RemoteSubnets = append(each.RemoteSubnets, other.Subnets...)
			}
		}
		all = append(all, each)
	}
	return all
}

// checkApp returns an error for options that an app can't have. RouterOS sets up its network and chooses its storage.
func (o *Options) checkApp(sites []Site) error {
	var p problems
	usual := Default()
	for _, c := range []struct {
		given        bool
		what, option string
	}{
		{o.Tarball != "", "tarball", "tarball"}, {o.Arch != "", "platform", "arch"}, {o.Root != usual.Root, "root in memory", "root"},
		{o.Disk != "", "disk of its own (/app/settings has it)", "disk"},
		{!slices.Equal(o.Addresses, usual.Addresses), "address", "address"}, {!slices.Equal(o.Gateways, usual.Gateways), "gateway", "gateway"},
		{o.Bridge != "", "bridge", "bridge"}, {o.Memory != 0, "memory limit", "memory"}, {len(o.DNS) > 0, "name server", "dns"},
		{o.Insecure, "plain HTTP", "insecure"}, {o.Username != "", "user name of its own (/container/config has it)", "username"},
		{o.InPlace, "update in place", "in-place"}, {o.UpdateAt != "", "time of updates", "update-at"},
	} {
		if c.given {
			p.add(c.option, "an app has no %s: leave it out, or use the scripts", c.what)
		}
	}
	names := map[string]bool{}
	for _, site := range sites {
		if names[site.Name] {
			p.add("site", "the site %q is given twice", site.Name)
		}
		names[site.Name] = true
	}
	if len(sites) > 0 && (o.Hostname != "" || len(o.Subnets) > 0) {
		p.add("site", "with sites, their names and networks apply: leave out the hostname and the subnets")
	}
	for _, text := range slices.Concat(o.RemoteSubnets, networksOf(sites)) {
		if network, err := netip.ParsePrefix(text); err == nil && network.Addr().Is6() && !isVia(network) && (len(sites) > 1 || len(o.RemoteSubnets) > 0) {
			p.add("remote-subnet", "the network %q is reached through no app, because apps have no IPv6 address: leave it out, or use the scripts", text)
		}
	}
	return errors.Join(p...)
}

func networksOf(sites []Site) []string {
	var all []string
	for _, site := range sites {
		all = append(all, site.Subnets...)
	}
	return all
}

// appYAML is an app in RouterOS's format.
type appYAML struct {
	Name     string                `yaml:"name"`
	Descr    string                `yaml:"descr"`
	Page     string                `yaml:"page"`
	Category string                `yaml:"category"`
	Services map[string]appService `yaml:"services"`
}

type appService struct {
	Image       string            `yaml:"image"`
	Hostname    string            `yaml:"hostname,omitempty"`
	Restart     string            `yaml:"restart"`
	Environment map[string]string `yaml:"environment,omitempty"`
	Volumes     []string          `yaml:"volumes"`
	Ports       []string          `yaml:"ports,omitempty"`
}

func (d data) app() appYAML {
	s := appService{
		Image: d.Reference, Hostname: d.Hostname, Restart: "always",
		Environment: map[string]string{}, Volumes: []string{"state:" + StateDir},
	}
	for _, v := range d.Variables {
		s.Environment[v.Name] = v.Value
	}
	if d.Port != 0 {
		// RouterOS uses the first port for a web page unless it has another name.
		s.Ports = []string{fmt.Sprintf("%d:%d/udp:tailscale", d.Port, d.Port)}
	}
	return appYAML{
		Name: d.AppName, Descr: "Tailscale subnet router", Page: "https://tailscale.com", Category: "networking",
		Services: map[string]appService{"tailscale": s},
	}
}

func encode(content any) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(content); err != nil {
		return "", err
	}
	return b.String(), e.Close()
}

// AppFile returns the name of the app's file on the router.
func (d data) AppFile() string { return d.AppName + ".tikapp.yaml" }

// AppMenus returns the menus in which the setup script adds something.
func (d data) AppMenus() []string {
	return []string{"/ip/dns/static", "/ip/firewall/filter", "/ip/firewall/mangle", "/ip/firewall/nat", "/ip/route", "/interface/list/member"}
}

// AppWatch returns the command for the scheduler, because RouterOS may assign another address when the app starts.
func (d data) AppWatch() string {
	return ":local app [/app/find where name=" + Quote(d.AppName) + " and running]; :if ([:len $app] > 0) do={ " +
		":local link [/app/get ($app->0) interface]; :local veths [/interface/veth/find where name=$link]; " +
		":local hop [:tostr [/interface/veth/get ($veths->0) address]]; :set hop [:pick $hop 0 [:find $hop \"/\"]]; " +
		":if ([:len [/ip/route/find where comment=" + Quote(d.Mark) + " and gateway=$hop]] = 0) do={ /import file-name=" + Quote(d.AppName+"-app-setup.rsc") + " } }"
}
