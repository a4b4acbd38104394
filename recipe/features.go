package recipe

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
)

// feature is an entry of the default list: a feature that a router needs, with the reason.
type feature struct{ name, reason string }

var defaultFeatures = []feature{
	{"advertiseexitnode", "offer the router as an exit node"},
	{"advertiseroutes", "offer the networks behind the router (subnet router)"},
	{"cli", "the tailscale command, in the daemon's binary"},
	{"dns", "MagicDNS and the tailnet's name servers"},
	{"health", "warnings in tailscale status"},
	{"ipnbus", "tailscale up waits for the daemon and prints the login address"},
	{"iptables", "source NAT and filtering where the kernel has no nftables, as RouterOS's has not"},
	{"listenrawdisco", "direct paths are found although a firewall filters the socket"},
	{"osrouter", "routes and addresses are set in the kernel"},
	{"peerapiserver", "name resolution for clients of the exit node"},
	{"portmapper", "direct paths through a router that speaks UPnP, NAT-PMP or PCP"},
	{"unixsocketidentity", "the daemon identifies its callers; without it, every command is refused"},
	{"useexitnode", "send the networks' traffic through another exit node"},
	{"useroutes", "reach the networks behind other subnet routers"},
}

// dependencies are the features that the default features depend on, with their purpose.
var dependencies = []feature{
	{"c2n", "the control server asks which of two routers for one network is alive"},
	{"nattraversal", "direct paths through NAT; without it, a mapped port is the only one (since 1.104)"},
	{"peerapiclient", "this router asks its exit node for names"},
	{"udptransport", "packets go straight to other nodes and not through relays alone (since 1.104)"},
}

// leftOut are the features that a router doesn't need. docs/design.md has the reasons.
var leftOut = strings.Fields(`
	ace acme androidbin androiddns appconnectors aws bakedroots bird cachenetmap captiveportal capture cliconndiag
	clientmetrics clientupdate cloud colorable completion completion_scripts conn25 connreject dbus debug
	debugeventbus debugportmapper desktop_sessions dnsresolvecache doctor drive favorites flashappliance gro
	hujsonconf identityfederation kube linkspeed linuxdnsfight logtail netlog netstack networkmanager oauthkey
	outboundproxy portlist posture qrcodes relayserver remoteconfig resolved routecheck
	runtimemetrics sdnotify serve serviceclientprefs ssh synology syslog syspolicy systray taildrop tailnetlock
	tap tpm tundevstats useproxy usermetrics wakeonlan webbrowser webclient`)

// LeftOut returns the features that are left out of the default image on purpose.
func LeftOut() []string { return slices.Clone(leftOut) }

// Features returns the features of the default image.
func Features() []string {
	var names []string
	for _, f := range defaultFeatures {
		names = append(names, f.name)
	}
	return names
}

// FeatureReason returns why a feature is in the default image, or "" if it isn't.
func FeatureReason(name string) string {
	for _, f := range slices.Concat(defaultFeatures, dependencies) {
		if f.name == name {
			return f.reason
		}
	}
	return ""
}

// undeclared are dependencies that Tailscale's own list lacks: without them, the feature doesn't compile.
var undeclared = map[string][]string{
	"acme":      {"serve"},         // it renews the certificates of the names in serve's configuration
	"syspolicy": {"clientmetrics"}, // it counts policies
}

// only64Bit are features that Tailscale only compiles for 64-bit machines, unless a build tag asks for them.
var only64Bit = []string{"aws", "kube"}

// withUndeclared adds undeclared dependencies to a list of features.
func withUndeclared(features []string) []string {
	all := slices.Clone(features)
	for _, f := range features {
		all = append(all, undeclared[f]...)
	}
	return sorted(all)
}

// Known is a feature that a Tailscale release can be built with.
type Known struct{ Name, Description string }

// Resolved is a list of features with all their dependencies, resolved by Tailscale's own tool.
type Resolved struct {
	// Tags are the Go build tags.
	Tags string
	// Features are the names of all features in the build, sorted.
	Features []string
	// Known are all features of the Tailscale release, sorted by name.
	Known []Known
	// Go is the Go release that compiles this Tailscale release: the configured one, or the one in its go.mod, but at
	// least GoVersion.
	Go string
}

// Undecided returns the features that are not in the build, and that nobody has decided to leave out: they are new in
// the release.
func (r Resolved) Undecided() []string {
	var names []string
	for _, k := range r.Known {
		if !r.Has(k.Name) && FeatureReason(k.Name) == "" && !slices.Contains(leftOut, k.Name) {
			names = append(names, k.Name)
		}
	}
	return names
}

// Warnings returns a sentence for everything about the resolved features that a person should check.
func (r Resolved) Warnings() []string {
	if names := r.Undecided(); len(names) > 0 {
		return []string{fmt.Sprintf("this Tailscale release has features that are not known here and are left out: %s. Add one with --features=+NAME", strings.Join(names, ", "))}
	}
	return nil
}

// Has reports whether a feature is in the build.
func (r Resolved) Has(feature string) bool { return slices.Contains(r.Features, feature) }

// ResolveFeatures returns the stage that asks Tailscale's own source for all features, and for the build tags of the
// configured ones. Resolve parses its output.
func ResolveFeatures(c Config) Stage {
	use := toolchain(GoVersion) + "+auto"
	switch {
	case c.GoVersion != "":
		use = toolchain(c.GoVersion)
	case c.TailscaleVersion == TailscaleVersion:
		use = toolchain(TailscaleGo) + "+auto"
	}
	s := goStage("features", c, use)
	s.Env = toolEnv(use)
	s.Steps = append(s.Steps, append(oneThread(), shell(`
		cd "$1"
		{ go run ./cmd/featuretags --list; echo; go run ./cmd/featuretags --min --add="$2"; echo; go env GOVERSION; } >"$3"`,
		sourceDir, strings.Join(withUndeclared(c.Features), ","), OutDir+"/features")...))
	s.Output = "features"
	return s
}

// Resolve parses the output of the ResolveFeatures stage. A feature that the release does not have is an error that
// lists the existing ones, because Tailscale's tool silently ignores it.
func Resolve(c Config, output string) (Resolved, error) {
	list, rest, _ := strings.Cut(output, "\n\n")
	tags, release, found := strings.Cut(rest, "\n\n")
	if !found {
		return Resolved{}, fmt.Errorf("unexpected list of the features of Tailscale %s: %q", c.TailscaleVersion, output)
	}
	r := Resolved{Tags: strings.TrimSpace(tags), Go: strings.TrimPrefix(strings.TrimSpace(release), "go")}
	if err := c.checkGoRelease(r.Go); err != nil {
		return r, fmt.Errorf("Tailscale %s: %w", c.TailscaleVersion, err)
	}
	for line := range strings.Lines(list) {
		name, description, found := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); found && name != "" {
			r.Known = append(r.Known, Known{Name: name, Description: strings.TrimSpace(description)})
		}
	}
	built := strings.Split(r.Tags, ",")
	var names, unknown []string
	for _, k := range r.Known {
		names = append(names, k.Name)
		if slices.Contains(built, "ts_include_"+k.Name) || k.Name != "cli" && !slices.Contains(built, "ts_omit_"+k.Name) {
			r.Features = append(r.Features, k.Name)
		}
	}
	for _, f := range only64Bit {
		if r.Has(f) {
			r.Tags += ",ts_" + f
		}
	}
	for _, f := range sorted(c.Features) {
		if !slices.Contains(names, f) {
			unknown = append(unknown, strconv.Quote(f)+similar(f, names))
		}
	}
	if len(unknown) > 0 {
		return r, fmt.Errorf("Tailscale %s has no feature %s: it has %s", c.TailscaleVersion, strings.Join(unknown, ", "), strings.Join(names, ", "))
	}
	return r, nil
}

// similar asks whether another name was meant, if one differs in a third of its letters at most.
func similar(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	nearest := slices.MinFunc(known, func(a, b string) int {
		return cmp.Compare(levenshtein.ComputeDistance(name, a), levenshtein.ComputeDistance(name, b))
	})
	if levenshtein.ComputeDistance(name, nearest) > len(nearest)/3 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", nearest)
}

// selectFeatures returns the features that a user means: plain names, or changes to the default list if all names
// begin with + or -.
func selectFeatures(given []string) ([]string, error) {
	if len(given) == 0 {
		return Features(), nil
	}
	var selected []string
	changes := 0
	for _, f := range given {
		if strings.HasPrefix(f, "+") || strings.HasPrefix(f, "-") {
			changes++
		}
	}
	if changes == 0 {
		return given, nil
	}
	if changes < len(given) {
		return nil, fmt.Errorf("features %s: want either names, or only names with + or - before them", strings.Join(given, ","))
	}
	selected = Features()
	for _, f := range given {
		name := f[1:]
		if name == "" {
			return nil, fmt.Errorf("malformed feature %q: want a name after it, as in +ssh", f)
		}
		at := slices.Index(selected, name)
		switch {
		case f[0] == '+' && at < 0:
			selected = append(selected, name)
		case f[0] == '-' && at >= 0:
			selected = slices.Delete(selected, at, at+1)
		case f[0] == '-':
			return nil, fmt.Errorf("feature %q is not in the default list, which has %s", name, strings.Join(Features(), ", "))
		}
	}
	return selected, nil
}

func sorted(names []string) []string {
	s := slices.Clone(names)
	slices.Sort(s)
	return slices.Compact(s)
}
