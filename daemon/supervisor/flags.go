package supervisor

import (
	"os"
	"strconv"
	"strings"
	"unicode"
)

// Flag is one flag of "tailscale up" or of tailscaled, with a value that it takes.
type Flag struct{ Name, Value string }

func (f Flag) String() string { return "--" + f.Name + "=" + f.Value }

// splitWords splits a text like a shell: at white space, except within quotes. A backslash escapes the next character.
// closed is false if the last quote isn't closed; it then extends to the end of the text.
func splitWords(text string) (all []string, closed bool) {
	var word strings.Builder
	var quote rune
	started, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune(`"\$`+"`", c) {
				word.WriteRune('\\')
			}
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, started = c, true
		case unicode.IsSpace(c):
			if started {
				all = append(all, word.String())
				word.Reset()
				started = false
			}
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if started {
		all = append(all, word.String())
	}
	return all, quote == 0
}

// normalize returns a form of a flag's name that is the same for all its spellings.
func normalize(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}

// flagNamed returns the known flag that a spelling stands for: --authkey and --AUTH_KEY are --auth-key.
func flagNamed(name string, known []string) string {
	for _, k := range known {
		if normalize(k) == normalize(name) {
			return k
		}
	}
	return ""
}

// parse parses flags from words. find returns a flag's own name, and whether it is a boolean flag. parse ignores
// and logs words that are not flags, and unknown flags.
func (r *reader) parse(variable string, all []string, find func(string) (name string, boolean bool)) (flags []Flag) {
	for i := 0; i < len(all); i++ {
		// Office programs and phones turn two hyphens into a dash.
		word := strings.TrimLeft(all[i], "-–—−")
		if word == all[i] || word == "" {
			r.logf("%s: ignoring %q, which is not a flag", variable, masked(word))
			continue
		}
		given, value, hasValue := strings.Cut(word, "=")
		name, boolean := find(given)
		following := i+1 < len(all) && !strings.HasPrefix(all[i+1], "-")
		if name == "" {
			r.logf("%s: ignoring --%s, which this Tailscale release doesn't have", variable, given)
			// Otherwise its value would be mistaken for a word that isn't a flag.
			if !hasValue && following {
				i++
			}
			continue
		}
		switch {
		case hasValue:
		case boolean:
			value = "true"
			if following {
				if _, ok := parseBool(all[i+1]); ok {
					i++
					value = all[i]
				}
			}
		case following:
			i++
			value = all[i]
		default:
			r.logf("%s: ignoring --%s, which has no value", variable, name)
			continue
		}
		if boolean {
			yes, ok := parseBool(value)
			if !ok {
				r.logf("%s: ignoring --%s=%s: want true or false", variable, name, value)
				continue
			}
			value = strconv.FormatBool(yes)
		}
		flags = append(flags, Flag{name, trim(value)})
	}
	return flags
}

// masked returns enough of a word to find it, but too little of a key in the wrong place to use it.
func masked(word string) string {
	if letters := []rune(word); len(letters) > 12 {
		return string(letters[:6]) + "…"
	}
	return word
}

// upFeatures are the features that flags of "tailscale up" need.
var upFeatures = map[string]string{
	"accept-routes":              "useroutes",
	"advertise-connector":        "appconnectors",
	"advertise-exit-node":        "advertiseexitnode",
	"advertise-routes":           "advertiseroutes",
	"audience":                   "identityfederation",
	"client-id":                  "identityfederation",
	"client-secret":              "oauthkey",
	"exit-node":                  "useexitnode",
	"exit-node-allow-lan-access": "useexitnode",
	"id-token":                   "identityfederation",
	"report-posture":             "posture",
	"ssh":                        "ssh",
}

// upIgnored are flags of "tailscale up" that affect a single call of the command, not the router.
var upIgnored = " accept-risk json qr qr-format reset timeout host-routes "

// daemonFlag is a flag of tailscaled. A test compares the list with tailscaled's source.
type daemonFlag struct {
	name    string
	kind    Kind
	feature string
}

var daemonFlags = []daemonFlag{
	{"bird-socket", Path, "bird"},
	{"config", Path, ""},
	{"debug", Listen, "debug"},
	{"encrypt-state", Boolean, "tpm"},
	{"hardware-attestation", Boolean, "tpm"},
	{"no-logs-no-support", Boolean, ""},
	{"outbound-http-proxy-listen", Listen, "outboundproxy"},
	{"port", Number, ""},
	{"socket", Path, ""},
	{"socks5-server", Listen, "outboundproxy"},
	{"state", Text, ""},
	{"statedir", Path, ""},
	{"syslog", Boolean, "syslog"},
	{"syspolicy-file", Path, "syspolicy"},
	{"tun", Text, ""},
	{"verbose", Number, ""},
}

// daemonFlags parses flags of tailscaled, which would exit because of a wrong one.
func (r *reader) daemonFlags(variable string, all []string) (flags []Flag) {
	var names []string
	kinds := map[string]daemonFlag{}
	for _, f := range daemonFlags {
		names = append(names, f.name)
		kinds[f.name] = f
	}
	for _, f := range r.parse(variable, all, func(given string) (string, bool) {
		name := flagNamed(given, names)
		return name, kinds[name].kind == Boolean
	}) {
		if feature := kinds[f.Name].feature; !r.release.has(feature) {
			r.needsFeature(variable+": --"+f.Name, feature)
			continue
		}
		reason := ""
		switch kinds[f.Name].kind {
		case Number:
			limit := 16
			if f.Name == "verbose" {
				limit = 8
			}
			if _, err := strconv.ParseUint(f.Value, 10, limit); err != nil {
				reason = "want a number from 0 to 255"
				if f.Name == "port" {
					reason = "want a port from 0 to 65535"
				}
			}
		case Listen:
			if f.Value = r.cleanListen(variable, f.Value); f.Value == "" {
				continue
			}
		case Path:
			if f.Value == "" {
				reason = "want a path"
			}
		}
		switch {
		case f.Name == "tun" && (f.Value == "" || len(f.Value) > 15 && f.Value != userspace || strings.ContainsFunc(f.Value, func(c rune) bool {
			return c == '/' || c == ':' || unicode.IsSpace(c)
		})):
			reason = "want the name of an interface"
		case f.Name == "config" && !strings.HasPrefix(f.Value, "optional:"):
			if _, err := os.ReadFile(f.Value); err != nil {
				reason = err.Error()
			}
		case f.Name == "syspolicy-file":
			if _, err := os.ReadFile(f.Value); err != nil {
				reason = err.Error()
			}
		case f.Name == "state" && !strings.HasPrefix(f.Value, "/") && !strings.HasPrefix(f.Value, "mem:") && !(strings.HasPrefix(f.Value, "kube:") && r.release.has("kube")):
			reason = "want the path of a file, or mem:"
		}
		if reason != "" {
			r.logf("%s: ignoring --%s=%s: %s", variable, f.Name, f.Value, reason)
			continue
		}
		flags = append(flags, f)
	}
	return flags
}
