// Package supervisor runs inside tailscaled, as part of its binary. It prepares the container, starts the daemon
// with the settings from the environment, and then follows the daemon's state for as long as the container runs:
// it logs in whenever that is needed, keeps the settings applied, keeps a copy of the state file, and repairs routes.
//
// The package only uses the standard library, so that its tests don't need Tailscale's source. It accesses the daemon
// through the interface Daemon, which daemon/_tailscaled/supervisor.go implements with the LocalAPI.
package supervisor

import "strings"

// Kind is how the text of a variable or flag is parsed.
type Kind string

// The kinds of values.
const (
	Boolean  Kind = "boolean"
	Prefixes Kind = "CIDR list"
	Hostname Kind = "hostname"
	URL      Kind = "URL"
	Flags    Kind = "flags"
	Path     Kind = "path"
	Number   Kind = "number"
	Memory   Kind = "memory size"
	Secret   Kind = "key"
	Listen   Kind = "address and port"
	Tags     Kind = "tags"
	Text     Kind = "text"
)

// Variable is an environment variable that the image understands. Its effect is the comment on its line:
// docs/reference.md is generated from this table, and comments don't take space in the image.
type Variable struct {
	Name    string
	Kind    Kind
	Default string
	// Flag is the flag of "tailscale up" that the variable sets or, with a minus before it, of tailscaled.
	Flag string
	// Feature is the feature that an image needs for the variable to have an effect.
	Feature string
}

// Variables are all variables that the image understands, in the order of the documentation.
var Variables = []Variable{
	{"TS_AUTHKEY", Secret, "", "", ""},                                                            // Key to log in with, or `file:` and the path of a file that holds it. The key is used only while the router is logged out. A file is read again before each attempt, so a new key is picked up without a restart. `TS_AUTH_KEY` is another name for it. The secret of an OAuth client (`tskey-client-…`) needs an image built with `--features=+oauthkey`, and `--advertise-tags=tag:NAME` in `TS_EXTRA_ARGS`. End it with `?ephemeral=false`, or the tailnet removes the router while it is offline
	{"TS_AUTH_KEY", Secret, "", "", ""},                                                           // The same as `TS_AUTHKEY`
	{"TS_CLIENT_ID", Text, "", "", "identityfederation"},                                          // ID of an OAuth client or of a workload identity, used to get a key
	{"TS_CLIENT_SECRET", Secret, "", "", "oauthkey"},                                              // Secret of the OAuth client, or `file:` and a path
	{"TS_ID_TOKEN", Secret, "", "", "identityfederation"},                                         // Token of the workload identity, or `file:` and a path
	{"TS_AUDIENCE", Text, "", "", "identityfederation"},                                           // Audience to request an identity token for
	{"TS_AUTH_ONCE", Boolean, "false", "", ""},                                                    // `true`: settings that no variable names keep the value that you set by hand. `false`: they are reset to their defaults when the container starts
	{"TS_HOSTNAME", Hostname, "the container's", "hostname", ""},                                  // Name in the tailnet
	{"TS_ROUTES", Prefixes, "", "advertise-routes", "advertiseroutes"},                            // Networks to offer to the tailnet, separated by commas or spaces. Set but blank, it withdraws them
	{"TS_ACCEPT_DNS", Boolean, "true", "accept-dns", ""},                                          // Use the tailnet's name servers
	{"TS_LOGIN_SERVER", URL, "Tailscale's", "login-server", ""},                                   // Address of another control server. If the router is logged in to a different one, it logs in to this one
	{"TS_EXTRA_ARGS", Flags, "", "", ""},                                                          // More flags of `tailscale up`, for example `--accept-routes --advertise-exit-node`. They win over the other variables. Quotes work as in a shell
	{"TS_TAILSCALED_EXTRA_ARGS", Flags, "", "", ""},                                               // More flags of the daemon, for example `--port=41641`
	{"TS_STATE_DIR", Path, "/var/lib/tailscale", "-statedir", ""},                                 // Directory of the state
	{"TS_SOCKET", Path, "/var/run/tailscale/tailscaled.sock", "-socket", ""},                      // The daemon's socket. The default path then is a link to it, so `tailscale` and `healthcheck` work without further options
	{"TS_USERSPACE", Boolean, "false", "", "netstack"},                                            // `true`: no interface in the kernel. The router and the networks behind it can be reached, but hosts there can't start connections into the tailnet
	{"TS_SOCKS5_SERVER", Listen, "", "-socks5-server", "outboundproxy"},                           // Address of a SOCKS5 proxy into the tailnet
	{"TS_OUTBOUND_HTTP_PROXY_LISTEN", Listen, "", "-outbound-http-proxy-listen", "outboundproxy"}, // Address of an HTTP proxy into the tailnet
	{"TS_SERVE_CONFIG", Path, "", "", "serve"},                                                    // JSON file with the configuration of `tailscale serve`. It is applied again when it changes
	{"TS_ENABLE_HEALTH_CHECK", Boolean, "false", "", ""},                                          // Answer on `/healthz` at `TS_LOCAL_ADDR_PORT`: 200 while the router has an address in the tailnet, 503 otherwise
	{"TS_ENABLE_METRICS", Boolean, "false", "", "usermetrics"},                                    // Serve Tailscale's metrics on `/metrics` at `TS_LOCAL_ADDR_PORT`
	{"TS_LOCAL_ADDR_PORT", Listen, "[::]:9002", "", ""},                                           // Where the two above listen
	{"TS_KUBE_SECRET", Text, "", "", "kube"},                                                      // Kubernetes secret that holds the state, inside a cluster
	{"TS_DEBUG_ADDR_PORT", Listen, "", "-debug", "debug"},                                         // Address of the daemon's debug server
	{"TS_LOG_VERBOSITY", Number, "0", "", ""},                                                     // `1` or more: verbose lines are logged, too
	{"GOMEMLIMIT", Memory, "48MiB", "", ""},                                                       // How much memory Go's runtime aims to stay below. A much lower limit costs much processor time. `off`: no limit
	{"GOGC", Number, "50", "", ""},                                                                // How much garbage Go collects at a time, in percent of the memory in use. `off`: only at the limit
}

// unsupported are the official image's variables that are useless on a router, with what to do instead. A test
// compares the list with the names that Tailscale's containerboot reads.
var unsupported = map[string]string{
	"TS_DEST_IP":                                              forward,
	"TS_EXPERIMENTAL_DEST_DNS_NAME":                           forward,
	"TS_TAILNET_TARGET_IP":                                    forward,
	"TS_TAILNET_TARGET_FQDN":                                  forward,
	"TS_EGRESS_PROXIES_CONFIG_PATH":                           cluster,
	"TS_INGRESS_PROXIES_CONFIG_PATH":                          cluster,
	"TS_EXPERIMENTAL_CERT_SHARE":                              cluster,
	"EXPERIMENTAL_ALLOW_PROXYING_CLUSTER_TRAFFIC_VIA_INGRESS": cluster,
	"TS_EXPERIMENTAL_VERSIONED_CONFIG_DIR":                    "set TS_TAILSCALED_EXTRA_ARGS=--config=FILE",
	"TS_EXPERIMENTAL_ENABLE_FORWARDING_OPTIMIZATIONS":         "RouterOS manages the interfaces",
	"TS_HEALTHCHECK_ADDR_PORT":                                "set TS_LOCAL_ADDR_PORT and TS_ENABLE_HEALTH_CHECK=true",
	"TS_BOOT_TIMEOUT":                                         "no time limit is needed: the container keeps trying",
	"TS_KUBERNETES_READ_API_SERVER_ADDRESS_FROM_ENV":          cluster,
	"TS_EXPERIMENTAL_SERVICE_AUTO_ADVERTISEMENT":              "advertise services with \"tailscale serve\" in an image built with --features=+serve",
	"TS_TEST_FAKE_NETFILTER":                                  "it is for tests of the official image",
	"TS_TEST_ONLY_ROOT":                                       "it is for tests of the official image",
}

const (
	forward = "forward ports in RouterOS, with action=dst-nat in /ip/firewall/nat"
	cluster = "it only works in a Kubernetes cluster"
)

// Default returns the default of a variable.
func Default(name string) string {
	for _, v := range Variables {
		if v.Name == name {
			return v.Default
		}
	}
	return ""
}

// Release has what the supervisor needs to know about the Tailscale release in the binary.
type Release struct {
	// Features are the features of the binary, separated by commas.
	Features string
	// UpFlag reports whether "tailscale up" has a flag, and whether it is a boolean flag.
	UpFlag func(name string) (boolean, known bool)
	// UpFlags returns the names of all its flags.
	UpFlags func() []string
	// CheckUp returns an error if "tailscale up" would refuse a value of a flag.
	CheckUp func(name, value string) error
}

// has reports whether the binary has a feature. The empty feature is always there.
func (r Release) has(feature string) bool {
	return feature == "" || strings.Contains(","+r.Features+",", ","+feature+",")
}
