package supervisor

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Settings are the settings from the environment, except for those that this image doesn't support.
type Settings struct {
	// Key is the key to log in with.
	Key Key
	// Once is true if settings that no variable names keep their values.
	Once bool
	// Server is the control server that the environment names, or empty.
	Server string
	// Flags are flags of "tailscale up", each at most once.
	Flags []Flag
	// Wanted is true if the environment asks to log in.
	Wanted bool

	StateDir, Socket, Tun string
	Userspace             bool
	// Daemon are the daemon's flags, without those for its directory, socket and interface.
	Daemon []Flag

	MemoryLimit int64
	GCPercent   int
	Verbosity   int

	ServeConfig     string
	Local           string
	Health, Metrics bool
}

// Key is an auth key, an OAuth client secret, or a workload identity. Each may be "file:" and a
// path.
type Key struct {
	Auth, ClientID, ClientSecret, IDToken, Audience string
}

// Empty reports whether there is nothing to log in with.
func (k Key) Empty() bool { return k == Key{} }

// Read reads the current content of the files that the key names.
func (k Key) Read() (Key, error) {
	for _, text := range []*string{&k.Auth, &k.ClientSecret, &k.IDToken} {
		path, ok := strings.CutPrefix(*text, "file:")
		if !ok {
			continue
		}
		content, err := os.ReadFile(trim(path))
		if err != nil {
			return k, err
		}
		if *text = trim(string(content)); *text == "" {
			return k, fmt.Errorf("%s is empty", path)
		}
	}
	return k, nil
}

// Environment returns a function that looks up variables. The entrypoint passes some of them through a pipe, to keep
// them out of the environment of processes: each with its name, followed by a mark.
func Environment(pipe io.Reader) func(string) (string, bool) {
	text, _ := io.ReadAll(pipe)
	kept := map[string]string{}
	for one := range strings.SplitSeq(string(text), "\x1f") {
		if name, value, found := strings.Cut(one, "="); found {
			kept[name] = value
		}
	}
	return func(name string) (string, bool) {
		if value, ok := kept[name]; ok {
			return value, true
		}
		return os.LookupEnv(name)
	}
}

// userspace is tailscaled's interface name for userspace networking.
const userspace = "userspace-networking"

// reader reads the environment and logs what it ignores.
type reader struct {
	release Release
	logf    func(format string, args ...any)
}

// needsFeature logs which feature the image would need.
func (r *reader) needsFeature(what, feature string) {
	r.logf("%s needs an image built with --features=+%s: ignoring it", what, feature)
}

// Read reads the settings from the environment and from the container's arguments, which are flags of the daemon. No
// value is an error: Read ignores values that it can't parse and logs a line for each, so that a typing mistake in
// one variable doesn't keep a router out of its tailnet.
func Read(release Release, lookup func(string) (string, bool), args []string, logf func(format string, args ...any)) Settings {
	r := &reader{release: release, logf: logf}
	values := map[string]string{}
	blank := map[string]bool{}
	for _, v := range Variables {
		text, ok := lookup(v.Name)
		if !ok {
			continue
		}
		text = trim(text)
		switch {
		case text == "":
			blank[v.Name] = true
		case !release.has(v.Feature) && (v.Kind != Boolean || isTrue(text)):
			r.needsFeature(v.Name, v.Feature)
		default:
			values[v.Name] = text
		}
	}
	for _, name := range slices.Sorted(keys(unsupported)) {
		if text, _ := lookup(name); trim(text) != "" {
			logf("%s has no effect in this image: %s", name, unsupported[name])
		}
	}
	s := Settings{
		Key: Key{Auth: values["TS_AUTHKEY"], ClientID: values["TS_CLIENT_ID"], ClientSecret: values["TS_CLIENT_SECRET"],
			IDToken: values["TS_ID_TOKEN"], Audience: values["TS_AUDIENCE"]},
		Once:        r.boolean(values, "TS_AUTH_ONCE"),
		Userspace:   r.boolean(values, "TS_USERSPACE"),
		Health:      r.boolean(values, "TS_ENABLE_HEALTH_CHECK"),
		Metrics:     r.boolean(values, "TS_ENABLE_METRICS"),
		ServeConfig: values["TS_SERVE_CONFIG"],
		StateDir:    Default("TS_STATE_DIR"), Socket: Default("TS_SOCKET"), Tun: "tailscale0",
	}
	if s.Key.Auth == "" {
		s.Key.Auth = values["TS_AUTH_KEY"]
	}
	if s.Health || s.Metrics {
		if s.Local = r.cleanListen("TS_LOCAL_ADDR_PORT", values["TS_LOCAL_ADDR_PORT"]); values["TS_LOCAL_ADDR_PORT"] == "" || s.Local == "" {
			s.Local = Default("TS_LOCAL_ADDR_PORT")
		}
	}
	r.limits(&s, values)
	r.up(&s, values, blank)
	r.daemon(&s, values, args)
	return s
}

func isTrue(text string) bool {
	yes, ok := parseBool(text)
	return yes || !ok
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// boolean returns the value of a variable, or its default if the text can't be parsed.
func (r *reader) boolean(values map[string]string, name string) bool {
	fallback := Default(name) == "true"
	text, ok := values[name]
	if !ok {
		return fallback
	}
	yes, ok := parseBool(text)
	if !ok {
		r.logf("%s=%s is neither true nor false: using %t", name, text, fallback)
		return fallback
	}
	return yes
}

// limits reads the limits for Go's runtime. The runtime would exit because of a size that it can't parse, so the
// entrypoint passes the variable through a pipe instead of the environment.
func (r *reader) limits(s *Settings, values map[string]string) {
	s.MemoryLimit, _ = parseMemory(Default("GOMEMLIMIT"))
	if text, ok := values["GOMEMLIMIT"]; ok {
		if limit, ok := parseMemory(text); ok {
			s.MemoryLimit = limit
		} else {
			r.logf("GOMEMLIMIT=%s is not a size: using %s", text, Default("GOMEMLIMIT"))
		}
	}
	s.GCPercent, _ = strconv.Atoi(Default("GOGC"))
	if text, ok := values["GOGC"]; ok {
		// Go's runtime keeps the percentage in 32 bits.
		percent, err := strconv.ParseInt(strings.TrimSuffix(text, "%"), 10, 32)
		switch {
		case strings.EqualFold(text, "off"):
			s.GCPercent = -1
		case err != nil || percent < 1:
			r.logf("GOGC=%s is not a percentage from 1 to %d: using %s", text, math.MaxInt32, Default("GOGC"))
		default:
			s.GCPercent = int(percent)
		}
	}
	if text, ok := values["TS_LOG_VERBOSITY"]; ok {
		// For a number that is out of range, ParseUint returns an error and the largest number.
		if level, err := strconv.ParseUint(text, 10, 8); err == nil {
			s.Verbosity = int(level)
		} else {
			r.logf("TS_LOG_VERBOSITY=%s is not a number from 0 to 255: using %s", text, Default("TS_LOG_VERBOSITY"))
		}
	}
}

// up reads the settings for "tailscale up".
func (r *reader) up(s *Settings, values map[string]string, blank map[string]bool) {
	given := map[string]string{}
	for _, v := range Variables {
		text, ok := values[v.Name]
		if v.Flag == "" || v.Flag[0] == '-' || !ok {
			continue
		}
		r.setUp(v.Name, Flag{v.Flag, text}, v.Kind == Boolean, given)
	}
	// As in the official image, a list that is set but blank withdraws the routes.
	if blank["TS_ROUTES"] {
		given["advertise-routes"] = ""
	}
	all, closed := splitWords(values["TS_EXTRA_ARGS"])
	if !closed {
		r.logf("TS_EXTRA_ARGS has an unclosed quote: assuming that it ends with the text")
	}
	names := r.release.UpFlags()
	for _, f := range r.parse("TS_EXTRA_ARGS", all, func(given string) (string, bool) {
		// The official image used the spelling without hyphens first.
		name := flagNamed(given, names)
		boolean, _ := r.release.UpFlag(name)
		return name, boolean
	}) {
		r.extra(s, f, given)
	}
	if given["exit-node"] == "" && given["exit-node-allow-lan-access"] != "" {
		r.logf("ignoring --exit-node-allow-lan-access, which needs --exit-node")
		delete(given, "exit-node-allow-lan-access")
	}
	if given["exit-node"] != "" && given["advertise-exit-node"] == "true" {
		r.logf("ignoring --advertise-exit-node: a router that uses an exit node can't be one itself")
		delete(given, "advertise-exit-node")
	}
	s.Server = given["login-server"]
	s.Wanted = len(given) > 0 || !s.Key.Empty()
	// RouterOS filters and masquerades, and has no nftables for containers.
	if _, ok := given["netfilter-mode"]; !ok {
		given["netfilter-mode"] = "off"
	}
	for _, name := range slices.Sorted(keys(given)) {
		s.Flags = append(s.Flags, Flag{name, given[name]})
	}
}

// extra handles one flag of TS_EXTRA_ARGS.
func (r *reader) extra(s *Settings, f Flag, given map[string]string) {
	const variable = "TS_EXTRA_ARGS"
	if feature := upFeatures[f.Name]; !r.release.has(feature) {
		// It is no mistake to switch off a missing feature.
		if f.Value != "false" && f.Value != "" {
			r.needsFeature(variable+": --"+f.Name, feature)
		}
		return
	}
	// An empty flag doesn't clear a key that a variable has set.
	keep := func(field *string) {
		if value := strings.TrimSpace(f.Value); value != "" {
			*field = value
		}
	}
	switch f.Name {
	case "auth-key":
		keep(&s.Key.Auth)
	case "client-id":
		keep(&s.Key.ClientID)
	case "client-secret":
		keep(&s.Key.ClientSecret)
	case "id-token":
		keep(&s.Key.IDToken)
	case "audience":
		keep(&s.Key.Audience)
	case "force-reauth":
		r.logf("%s: ignoring --force-reauth: the router logs in again by itself whenever it has to", variable)
	default:
		if !strings.Contains(upIgnored, " "+f.Name+" ") {
			r.setUp(variable, f, false, given)
		}
	}
}

// setUp cleans a setting and adds it, unless its value is useless.
func (r *reader) setUp(variable string, f Flag, boolean bool, given map[string]string) {
	text := f.Value
	if boolean {
		yes, ok := parseBool(text)
		if !ok {
			r.logf("%s=%s is neither true nor false: using %s", variable, text, Default(variable))
			return
		}
		text = strconv.FormatBool(yes)
	}
	if text != "" {
		switch f.Name {
		case "advertise-routes":
			clean, exit := r.cleanPrefixes(variable, text)
			if exit && r.release.has("advertiseexitnode") {
				given["advertise-exit-node"] = "true"
			}
			if clean == "" {
				return
			}
			text = clean
		case "hostname":
			text = r.cleanHostname(variable, text)
		case "login-server":
			text = r.cleanURL(variable, text)
		case "advertise-tags":
			text = r.cleanTags(variable, text)
		}
		if text == "" {
			return
		}
	} else if f.Name == "login-server" || f.Name == "netfilter-mode" {
		return
	}
	if err := r.release.CheckUp(f.Name, text); err != nil {
		r.logf("%s: ignoring --%s=%s: %v", variable, f.Name, text, err)
		return
	}
	given[f.Name] = text
}

// daemon reads the settings for tailscaled: variables, TS_TAILSCALED_EXTRA_ARGS and the container's arguments, in
// this order.
func (r *reader) daemon(s *Settings, values map[string]string, args []string) {
	var flags []Flag
	for _, v := range Variables {
		if text, ok := values[v.Name]; ok && strings.HasPrefix(v.Flag, "-") {
			flags = append(flags, r.daemonFlags(v.Name, []string{"-" + v.Flag + "=" + text})...)
		}
	}
	all, closed := splitWords(values["TS_TAILSCALED_EXTRA_ARGS"])
	if !closed {
		r.logf("TS_TAILSCALED_EXTRA_ARGS has an unclosed quote: assuming that it ends with the text")
	}
	flags = append(flags, r.daemonFlags("TS_TAILSCALED_EXTRA_ARGS", all)...)
	flags = append(flags, r.daemonFlags("the container's command", args)...)
	if name := values["TS_KUBE_SECRET"]; name != "" && os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		flags = append(flags, Flag{"state", "kube:" + name})
	}
	for _, f := range flags {
		switch f.Name {
		case "statedir":
			s.StateDir = f.Value
		case "socket":
			s.Socket = f.Value
		case "tun":
			s.Tun = f.Value
		case "verbose":
			s.Verbosity, _ = strconv.Atoi(f.Value)
		default:
			s.Daemon = slices.DeleteFunc(s.Daemon, func(o Flag) bool { return o.Name == f.Name })
			s.Daemon = append(s.Daemon, f)
		}
	}
	if s.Userspace || s.Tun == userspace {
		s.Userspace, s.Tun = true, userspace
		if !r.release.has("netstack") {
			r.needsFeature("--tun="+userspace, "netstack")
			s.Userspace, s.Tun = false, "tailscale0"
		}
	}
}
