package routeros

import (
	"cmp"
	"embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/template"

	"dagger/mikrotik-tailscale/platform"
)

// StateDir is the directory in the container that must outlive it. It has the router's identity in the tailnet.
const StateDir = "/var/lib/tailscale"

// authKeyName is the file in StateDir with the login key.
const authKeyName = "authkey"

// kindStart is the script that adds the container at each boot if its root directory is in memory.
const kindStart = "start"

// Kinds are the scripts, in the order in which they are used. Only an installation with its root directory in memory
// has a start script.
var Kinds = []string{"install", "update", "remove", "diagnose", kindStart}

// Script is one file for the router.
type Script struct {
	// Kind is one of Kinds.
	Kind string
	// Name is the file's name.
	Name string
	Text string
}

//go:embed templates
var files embed.FS

var templates *template.Template

// Templates refer to themselves through deeper, so they can't be a variable's initial value.
func init() {
	functions := template.FuncMap{"q": Quote, "deeper": deeper}
	templates = template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/*.rsc"))
}

// deeper returns the text of a template, with additional spaces before all lines but the first.
func deeper(spaces int, name string, d data) (string, error) {
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, name, d); err != nil {
		return "", err
	}
	return strings.ReplaceAll(b.String(), "\n", "\n"+strings.Repeat(" ", spaces)), nil
}

// New checks the options and returns the scripts. The error contains all mistakes.
func New(o Options) ([]Script, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	d := newData(o)
	var all []Script
	for _, kind := range Kinds {
		if kind == kindStart && !d.InMemory() {
			continue
		}
		var b strings.Builder
		if err := templates.ExecuteTemplate(&b, kind+".rsc", d); err != nil {
			return nil, fmt.Errorf("writing the %s script: %w", kind, err)
		}
		all = append(all, Script{kind, d.scriptName(kind), b.String()})
	}
	return all, nil
}

// data is the data for the templates.
type data struct {
	Options
	exchange
	Mark, Interface string
	// Link is the container's interface as a literal of a script.
	Link string
	// AppName is the name of the app, and Store is true if the app comes from a store.
	AppName                         string
	Store                           bool
	Address, Gateway                netip.Addr
	Length                          int
	AddressSix, GatewaySix          netip.Addr
	LengthSix                       int
	Tailnet, TailnetSix             netip.Prefix
	Variables                       []variable
	StateDir, State, Layers, Key    string
	TmpfsSlot                       string
	UpdateFile, StartFile           string
	Minor                           string
	Architecture, Platform, Variant string
}

type variable struct{ Name, Value string }

func newData(o Options) data {
	d := data{
		Options: o, Mark: o.Mark(), Interface: o.networkInterface(), Link: Quote(o.networkInterface()), Tailnet: tailnet, TailnetSix: tailnetSix,
		StateDir: StateDir, State: o.StatePath(), Key: o.KeyPath(),
		TmpfsSlot: o.Name + "-tmp", Minor: releaseForm.FindStringSubmatch(o.RouterOS)[1],
	}
	d.UpdateFile, d.StartFile = d.scriptName("update"), d.scriptName(kindStart)
	if o.Disk != "" {
		d.Layers = o.path("layers")
		d.UpdateFile, d.StartFile = o.Disk+"/"+d.UpdateFile, o.Disk+"/"+d.StartFile
	}
	if d.InMemory() {
		d.Layers = d.TmpfsSlot + "/" + o.Name + "-layers"
	}
	if o.Image != "" {
		d.exchange, _ = newExchange(o) // already checked
	}
	for _, text := range o.Addresses {
		address := netip.MustParsePrefix(text)
		gateway, _ := o.gatewayOf(address)
		if address.Addr().Is6() {
			d.AddressSix, d.LengthSix, d.GatewaySix = address.Addr(), address.Bits(), gateway
		} else {
			d.Address, d.Length, d.Gateway = address.Addr(), address.Bits(), gateway
		}
	}
	for _, text := range o.variables() {
		name, value, _ := strings.Cut(text, "=")
		d.Variables = append(d.Variables, variable{name, value})
	}
	if o.Arch != "" {
		t, _ := platform.Parse(o.Arch)
		d.Architecture, d.Platform, d.Variant = t.RouterOS, t.Architecture, t.Variant
	}
	return d
}

func (d data) scriptName(kind string) string { return d.Name + "-" + kind + ".rsc" }

// networkInterface returns the name of the container's interface on both sides. Tailscale ignores interfaces whose
// names begin with its own.
func (o Options) networkInterface() string { return "veth-" + o.Name }

// Mark returns the comment of everything that the install script adds. The container's comment also has the image's
// identity after it.
func (o Options) Mark() string { return "mikrotik-tailscale:" + o.Name }

// StatePath returns the directory on the router with Tailscale's state.
func (o Options) StatePath() string { return o.path("state") }

// KeyPath returns the file on the router with the login key, if AuthKeyFile is set.
func (o Options) KeyPath() string { return o.StatePath() + "/" + authKeyName }

// path returns the place of a part of the installation on the router.
func (o Options) path(what string) string {
	path := o.Name + "-" + what
	if o.Disk != "" {
		path = o.Disk + "/" + path
	}
	return path
}

// Internal reports whether the image is on the internal storage, which is small.
func (d data) Internal() bool { return !d.InMemory() && (d.Disk == "" || d.Disk == "flash") }

// AtLeast reports whether the scripts only have to run on RouterOS 7.minor or later.
func (d data) AtLeast(minor int) bool { return d.atLeast(minor) }

// MemoryBytes returns the soft memory limit in bytes, a form that RouterOS can't misread.
func (d data) MemoryBytes() int { return d.Memory << 20 }

// MemoryMax returns the hard memory limit in bytes, at which a container is killed. Above the soft limit, RouterOS
// only slows it down.
func (d data) MemoryMax() int { return d.MemoryBytes() / 2 * 3 }

// Health returns the command in the container that prints the daemon's state.
func (d data) Health() string { return "/usr/local/bin/healthcheck" }

// Alive returns the command in the container that fails if the daemon doesn't answer.
func (d data) Alive() string { return d.Health() + " alive" }

// HealthInterval returns the time between health checks. Before 7.24, each check writes to the storage.
func (d data) HealthInterval() string {
	if d.atLeast(24) {
		return "1m"
	}
	return "5m"
}

// Source returns the image's reference or the path of its tarball.
func (d data) Source() string { return cmp.Or(d.Reference, d.Tarball) }

// Fetch returns the arguments of every request to the registry.
func (d data) Fetch() string {
	arguments := " check-certificate=yes"
	if d.Insecure {
		arguments = ""
	}
	return arguments + " output=user as-value"
}

// Verifies reports whether the router checks certificates, of the registry or of other servers.
func (d data) Verifies() bool { return d.Image != "" && !d.Insecure }

// Schedules reports whether the install script adds an entry to the scheduler.
func (d data) Schedules() bool { return d.UpdateAt != "" || d.WaitsForDisk() || d.InMemory() }

// WaitsForDisk reports whether the container needs help at boot: its disk may appear after RouterOS has tried to
// start it, and a release without a restart policy doesn't try again.
func (d data) WaitsForDisk() bool {
	return !d.InMemory() && !d.Internal() && !strings.HasPrefix(d.Disk, "flash/") && !d.atLeast(23)
}

// StartEvent returns the command for the scheduler at boot. It waits for the disk, however long that takes, and
// starts the container unless it is already running.
func (d data) StartEvent() string {
	current := "comment~" + Quote(d.Current())
	return ":while ([:len [/file/find where name=" + Quote(d.Disk) + "]] = 0) do={ :delay 5s }; :local seconds 0; " +
		":while (([:len [/container/find where " + current + " and !stopped]] = 0) && ($seconds < 300)) do={ " +
		":foreach one in=[/container/find where " + current + " and stopped] do={ :onerror ignored in={ /container/start $one } do={} }; " +
		":delay 10s; :set seconds ($seconds + 10) }"
}

// Current returns a pattern for the comment of the container in use, which doesn't match a container on trial.
func (d data) Current() string { return "^" + d.Mark + " (sha256|file):" }

// Ask returns the arguments of the request for a token.
func (d data) Ask() string {
	if d.Token.Data == "" {
		return "url=" + Quote(d.Token.URL)
	}
	return "url=" + Quote(d.Token.URL) + " http-method=post http-header-field=" + Quote(d.Token.Headers) + " http-data=" + Quote(d.Token.Data)
}

// Login returns the arguments of a request with a user name.
func (d data) Login() string {
	if d.Username == "" {
		return ""
	}
	return " user=" + Quote(d.Username) + " password=$registryPassword"
}

// MarkPattern returns a pattern for the comments of all containers of the installation.
func (d data) MarkPattern() string { return "^" + d.Mark + " " }

// RootDir returns the root directory of one of the two containers, which alternate.
func (d data) RootDir(which string) string {
	if d.InMemory() {
		return d.TmpfsSlot + "/" + d.Name + "-root-" + which
	}
	return d.path("root-" + which)
}

// ArchitecturePattern returns a pattern for the router's architecture. RouterOS may append the word size to x86.
func (d data) ArchitecturePattern() string {
	if d.Architecture == "x86" {
		return "^x86"
	}
	return "^" + d.Architecture + "$"
}

// UpdateRoom is the free storage in bytes that an update needs besides the old image, unless InPlace is set. No
// unpacked image is larger.
const UpdateRoom = 6 << 20

// Room returns UpdateRoom for the templates.
func (d data) Room() int { return UpdateRoom }

// VethAddress returns the addresses of the container, separated by a comma.
func (d data) VethAddress() string { return strings.Join(d.Addresses, ",") }

// remoteRoute is the route to a network behind another router.
type remoteRoute struct{ Menu, Network, Gateway string }

// Remotes returns the routes for remote networks. 4via6 networks are already in the tailnet's own route.
func (d data) Remotes() []remoteRoute {
	var all []remoteRoute
	for _, text := range d.RemoteSubnets {
		network := netip.MustParsePrefix(text)
		switch {
		case isVia(network):
		case network.Addr().Is6():
			all = append(all, remoteRoute{"/ipv6/route", text, d.AddressSix.String()})
		default:
			all = append(all, remoteRoute{"/ip/route", text, d.Address.String()})
		}
	}
	return all
}

// Routes returns all routes that the install script adds.
func (d data) Routes() []remoteRoute {
	all := []remoteRoute{{"/ip/route", d.Tailnet.String(), d.Address.String()}}
	if d.LengthSix > 0 {
		all = append(all, remoteRoute{"/ipv6/route", d.TailnetSix.String(), d.AddressSix.String()})
	}
	return append(all, d.Remotes()...)
}

// Translates reports whether addresses are translated on the way to the internet.
func (d data) Translates() bool {
	return d.WANList != "" && (d.Bridge == "" || d.ExitNode || d.Port != 0)
}

// LogsIn reports whether the variables make the container start a login, so that it logs the address to finish it.
func (d data) LogsIn() bool {
	return slices.ContainsFunc(d.Variables, func(v variable) bool {
		return slices.Contains([]string{"TS_ACCEPT_DNS", "TS_EXTRA_ARGS", "TS_HOSTNAME", "TS_LOGIN_SERVER", "TS_ROUTES"}, v.Name)
	})
}

// PrivateSix reports whether the container's IPv6 address is private, so that packets to the internet need NAT.
func (d data) PrivateSix() bool { return d.LengthSix > 0 && d.AddressSix.IsPrivate() }

// tunnelMTU is the largest packet that Tailscale's interface accepts.
const tunnelMTU = 1280

// clamp is a menu of mangle rules with the TCP segment size that fits into the tunnel, besides the family's IP header
// and 20 bytes of TCP header.
type clamp struct {
	Menu string
	MSS  int
}

// TooLarge returns the segment sizes that a clamp lowers.
func (c clamp) TooLarge() string { return fmt.Sprintf("%d-65535", c.MSS+1) }

// Clamps returns the menus in which segment sizes are lowered.
func (d data) Clamps() []clamp {
	if !d.ClampMSS {
		return nil
	}
	clamps := []clamp{{"/ip/firewall/mangle", tunnelMTU - 20 - 20}}
	if d.LengthSix > 0 {
		clamps = append(clamps, clamp{"/ipv6/firewall/mangle", tunnelMTU - 40 - 20})
	}
	return clamps
}

// ruleSet is a menu of filter rules, with the variable of the install script that has the rules.
type ruleSet struct{ Menu, Rules string }

// Forward returns the menus of filter rules that packets from and to the container pass.
func (d data) Forward() []ruleSet {
	sets := []ruleSet{{"/ip/firewall/filter", "rules"}}
	if d.LengthSix > 0 {
		sets = append(sets, ruleSet{"/ipv6/firewall/filter", "rulesSix"})
	}
	return sets
}

// Menus returns the menus in which the install script adds something besides containers, the interface and disks, in
// the order in which entries can be removed.
func (d data) Menus() []string {
	menus := []string{
		"/system/scheduler", "/container/envs", "/container/mounts", "/ip/dns/static", "/ip/firewall/filter",
		"/ip/firewall/mangle", "/ip/firewall/nat", "/ip/route", "/interface/list/member", "/interface/bridge/port", "/ip/address",
	}
	if d.LengthSix > 0 {
		menus = append(menus, "/ipv6/firewall/filter", "/ipv6/firewall/mangle", "/ipv6/firewall/nat", "/ipv6/route", "/ipv6/address")
	}
	return menus
}
