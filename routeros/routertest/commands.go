package routertest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// commandTable has the arguments of the commands in the scripts and in docs/usage.md, according to /console/inspect
// on RouterOS 7.21.5, 7.22.3, 7.23 and 7.24 (CHR with the container package). A number after an argument is the 7.x
// release that added it. Arguments that no script should use are left out.
//
// Source: the console's own listings as published for each release at
// https://github.com/tikoci/restraml (docs/VERSION/extra/inspect.json).
var commandTable = map[string]string{
	"/container/add": "check-certificate cmd comment dns envlists file hostname ignore-remote-image-change@24 interface layer-dir logging" +
		" memory-high mountlists name remote-image root-dir start-on-boot" + upkeep,
	"/app/add":                   "yaml@22",
	"/container/set":             "comment dns envlists file hostname interface logging memory-high mountlists name remote-image root-dir start-on-boot" + upkeep,
	"/container/shell":           "as-value cmd timeout",
	"/container/config/set":      "layer-dir memory-high password registry-url tmpdir username",
	"/container/envs/add":        "comment disabled key list value",
	"/container/mounts/add":      "comment disabled dst list src",
	"/disk/add":                  "comment disabled slot tmpfs-max-size type",
	"/file/add":                  "contents name type",
	"/interface/veth/add":        "address comment dhcp disabled gateway gateway6 mac-address name",
	"/interface/bridge/port/add": "bridge comment disabled interface pvid",
	"/interface/list/member/add": "comment disabled interface list",
	"/ip/address/add":            "address comment disabled interface netmask network",
	"/ip/dns/static/add":         "address comment disabled forward-to match-subdomain name regexp ttl type",
	"/ip/firewall/filter/add":    "action chain comment disabled dst-address in-interface in-interface-list out-interface out-interface-list place-before src-address",
	"/ip/firewall/mangle/add":    "action chain comment disabled in-interface new-mss out-interface passthrough protocol tcp-flags tcp-mss",
	"/ipv6/firewall/mangle/add":  "action chain comment disabled in-interface new-mss out-interface passthrough protocol tcp-flags tcp-mss",
	"/ip/firewall/nat/add":       "action chain comment disabled dst-address dst-port in-interface in-interface-list out-interface out-interface-list place-before protocol src-address to-addresses to-ports",
	"/ip/route/add":              "comment disabled distance dst-address gateway routing-table",
	"/ipv6/address/add":          "address advertise comment disabled interface",
	"/ipv6/firewall/filter/add":  "action chain comment disabled dst-address in-interface in-interface-list out-interface out-interface-list place-before src-address",
	"/ipv6/firewall/nat/add":     "action chain comment disabled dst-address in-interface out-interface out-interface-list place-before src-address",
	"/ipv6/route/add":            "comment disabled distance dst-address gateway",
	"/routing/rule/add":          "action comment disabled dst-address interface min-prefix place-before src-address table",
	"/routing/table/add":         "comment disabled fib name",
	"/system/logging/action/add": "memory-lines name target",
	"/system/logging/add":        "action disabled topics",
	"/system/scheduler/add":      "comment disabled interval name on-event policy start-date start-time",
	"/tool/fetch":                "as-value check-certificate http-data http-header-field http-method output password url user",
}

// upkeep has the arguments for restarts and health checks of a container.
const upkeep = " healthcheck-cmd@22 healthcheck-interval@22 healthcheck-retries@22 healthcheck-start-period@22 healthcheck-timeout@22" +
	" memory-max@23 restart-interval@23 restart-max-count@23 restart-policy@23 stop-on-unhealthy@23"

// commandArguments has the names of all arguments, which no variable may use.
var commandArguments = func() map[string]bool {
	all := map[string]bool{}
	for line := range maps.Values(commandTable) {
		for argument := range strings.FieldsSeq(line) {
			name, _, _ := strings.Cut(argument, "@")
			all[name] = true
		}
	}
	return all
}()

// knows reports whether a command has an argument on RouterOS 7.minor.
func knows(command, argument string, minor int) bool {
	return slices.ContainsFunc(strings.Fields(commandTable[command]), func(entry string) bool {
		name, since, _ := strings.Cut(entry, "@")
		number, _ := strconv.Atoi(since)
		return name == argument && minor >= number
	})
}
