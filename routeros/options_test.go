package routeros

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/daemon/supervisor"
	"dagger/mikrotik-tailscale/routeros/routertest"
)

func TestWrongOptionsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no image":                  {func(o *Options) { o.Image = "" }, "neither an image nor a tarball"},
		"two sources":               {func(o *Options) { o.Tarball = "x.tar" }, "want one of them"},
		"no tarball for a checksum": {func(o *Options) { o.Checksum = "sha256:" + strings.Repeat("0", 64) }, "a checksum without a tarball"},
		"no checksum":               {func(o *Options) { o.Image, o.Tarball, o.Checksum = "", "x.tar", "sha1:00" }, `malformed checksum "sha1:00"`},
		"no host":                   {func(o *Options) { o.Image = "me/tailscale:stable" }, `malformed image "me/tailscale:stable"`},
		"no tag":                    {func(o *Options) { o.Image = "ghcr.io/me/tailscale" }, "want host, repository and tag"},
		"a digest":                  {func(o *Options) { o.Image = "ghcr.io/me/x:1@sha256:" + strings.Repeat("0", 64) }, "malformed image"},
		"hostile image":             {func(o *Options) { o.Image = `ghcr.io/me/x";/system/reset:1` }, "malformed image"},
		"no name":                   {func(o *Options) { o.Name = "" }, `malformed name ""`},
		"long name":                 {func(o *Options) { o.Name = "a-name-of11" }, `malformed name "a-name-of11": want up to 10 lower-case letters`},
		"hostile name":              {func(o *Options) { o.Name = `x"$[/quit]` }, "malformed name"},
		"disk":                      {func(o *Options) { o.Disk = "../x" }, `malformed disk "../x"`},
		"platform":                  {func(o *Options) { o.Arch = "mips" }, `unknown platform "mips"`},
		"release":                   {func(o *Options) { o.RouterOS = "stable" }, `malformed RouterOS version "stable"`},
		"old release":               {func(o *Options) { o.RouterOS = "7.20.8" }, "RouterOS 7.20.8 is too old: want 7.21 or later"},
		"address":                   {func(o *Options) { o.Addresses = []string{"172.31.255.254"} }, `malformed address "172.31.255.254"`},
		"network":                   {func(o *Options) { o.Addresses = []string{"172.31.255.252/30"} }, "is the first or last of its network"},
		"broadcast":                 {func(o *Options) { o.Addresses = []string{"172.31.255.255/30"} }, "is the first or last of its network"},
		"broadcasting gateway":      {func(o *Options) { o.Gateways = []string{"172.31.255.255"} }, "is another address of the network"},
		"no address":                {func(o *Options) { o.Addresses = nil }, "no IPv4 address"},
		"two addresses":             {func(o *Options) { o.Addresses = append(o.Addresses, "10.0.0.1/24") }, "two addresses of one family"},
		"tailnet's address":         {func(o *Options) { o.Addresses[0], o.Gateways[0] = "100.100.1.2/30", "100.100.1.1" }, "in the tailnet's own range"},
		"gateway":                   {func(o *Options) { o.Gateways = []string{"x"} }, `malformed gateway "x"`},
		"gateway elsewhere":         {func(o *Options) { o.Gateways = []string{"10.0.0.1"} }, "is another address of the network 172.31.255.252/30"},
		"gateway is itself":         {func(o *Options) { o.Gateways = []string{"172.31.255.254"} }, "is another address of the network"},
		"many gateways":             {func(o *Options) { o.Gateways = append(o.Gateways, "10.0.0.1") }, "2 gateways for 1 addresses"},
		"subnet":                    {func(o *Options) { o.Subnets = []string{"home"} }, `malformed subnet "home"`},
		"address as subnet":         {func(o *Options) { o.Subnets = []string{"192.168.88.1/24"} }, "want 192.168.88.0/24"},
		"everything":                {func(o *Options) { o.Subnets = []string{"0.0.0.0/0"} }, "want an exit node"},
		"tailnet as a subnet":       {func(o *Options) { o.Subnets = []string{"fd7a:115c:a1e0::/48"} }, "the tailnet's own range"},
		"tailnet's IPv4":            {func(o *Options) { o.Subnets = []string{"100.64.0.0/24"} }, "the tailnet's own range"},
		"beside 4via6":              {func(o *Options) { o.Subnets = []string{"fd7a:115c:a1e0:b1b::/64"} }, "or a 4via6 network in fd7a:115c:a1e0:b1a::/64"},
		"around 4via6":              {func(o *Options) { o.Subnets = []string{"fd7a:115c:a1e0:b1a::/63"} }, "the tailnet's own range"},
		"a node of the tailnet":     {func(o *Options) { o.Subnets = []string{"fd7a:115c:a1e0::1/128"} }, "the tailnet's own range"},
		"an address in 4via6":       {func(o *Options) { o.Subnets = []string{"fd7a:115c:a1e0:b1a:0:7:c0a8:5801/120"} }, "want fd7a:115c:a1e0:b1a:0:7:c0a8:5800/120"},
		"hostname":                  {func(o *Options) { o.Hostname = "my router" }, `malformed hostname "my router"`},
		"login server":              {func(o *Options) { o.LoginServer = "headscale.example" }, `malformed login server "headscale.example"`},
		"own argument":              {func(o *Options) { o.ExtraArgs = "--advertise-routes=10.0.0.0/8" }, "want the option"},
		"own variable":              {func(o *Options) { o.Env = []string{"TS_ROUTES=10.0.0.0/8"} }, "is set by another option"},
		"variable twice":            {func(o *Options) { o.Env = []string{"GOGC=50", "TS_AUTH_ONCE=true", "GOGC=100"} }, "the variable GOGC is given twice"},
		"server's variable":         {func(o *Options) { o.Env = []string{"TS_LOGIN_SERVER=https://headscale.example"} }, "the variable TS_LOGIN_SERVER is set by another option, the login server"},
		"variable":                  {func(o *Options) { o.Env = []string{"gogc"} }, `malformed name of a variable "gogc": want upper-case letters`},
		"a line in a value":         {func(o *Options) { o.Env = []string{"A=b\nc"} }, "without control characters"},
		"little memory":             {func(o *Options) { o.Memory = 8 }, "memory limit of 8 MiB"},
		"root":                      {func(o *Options) { o.Root = "ram" }, `unknown root "ram": want disk, or memory`},
		"root on little disk":       {func(o *Options) { o.Root, o.Tmpfs = RootMemory, 16 }, "disk in memory of 16 MiB: want 24 or more for a root directory in memory"},
		"root on no disk":           {func(o *Options) { o.Root, o.Tmpfs = RootMemory, 0 }, "disk in memory of 0 MiB: want 24 or more"},
		"tarball in memory":         {func(o *Options) { o.Root, o.Image, o.Tarball = RootMemory, "", "/x.tar" }, `the tarball "x.tar" is on no disk`},
		"little disk":               {func(o *Options) { o.Tmpfs = 4 }, "disk in memory of 4 MiB"},
		"name server":               {func(o *Options) { o.DNS = []string{"dns.example"} }, `malformed name server "dns.example"`},
		"domain":                    {func(o *Options) { o.MagicDNS = []string{"ts"} }, `malformed domain "ts"`},
		"interface list":            {func(o *Options) { o.WANList = "W\x00" }, "malformed interface list"},
		"bridge and firewall":       {func(o *Options) { o.Bridge, o.Firewall = "bridge", true }, `with the bridge "bridge"`},
		"bridge and segments":       {func(o *Options) { o.Bridge, o.ClampMSS = "bridge", true }, `with the bridge "bridge"`},
		"remote subnet":             {func(o *Options) { o.RemoteSubnets = []string{"office"} }, `malformed remote subnet "office"`},
		"remote address":            {func(o *Options) { o.RemoteSubnets = []string{"192.168.89.1/24"} }, "want a network such as 192.168.89.0/24"},
		"remote everything":         {func(o *Options) { o.RemoteSubnets = []string{"0.0.0.0/0"} }, "is everything"},
		"remote tailnet":            {func(o *Options) { o.RemoteSubnets = []string{"100.64.0.0/16"} }, "the tailnet's own range"},
		"remote IPv6":               {func(o *Options) { o.RemoteSubnets = []string{"fd89::/64"} }, "no IPv6 address to reach it through"},
		"remote and own":            {func(o *Options) { o.Subnets, o.RemoteSubnets = []string{"192.168.88.0/24"}, []string{"192.168.0.0/16"} }, `overlaps this router's own "192.168.88.0/24"`},
		"remote veth":               {func(o *Options) { o.RemoteSubnets = []string{"172.16.0.0/12"} }, `overlaps this router's own "172.31.255.254/30"`},
		"remote and no routes":      {func(o *Options) { o.RemoteSubnets, o.ExtraArgs = []string{"192.168.89.0/24"}, "--accept-routes=false" }, "out of reach"},
		"port":                      {func(o *Options) { o.Port = 65536 }, "port 65536: want 1 to 65535"},
		"negative port":             {func(o *Options) { o.Port = -1 }, "port -1: want 1 to 65535"},
		"port from nowhere":         {func(o *Options) { o.Port, o.WANList = 41641, "" }, "want the interface list"},
		"two ports":                 {func(o *Options) { o.Port, o.Env = 41641, []string{"TS_TAILSCALED_EXTRA_ARGS=--port=1"} }, "both port 41641 and a port in the variable"},
		"a second parameter":        {func(o *Options) { o.TokenURL = "https://auth.example/token?service=x&scope=repository:me/x:pull" }, `can't fetch an address with "&"`},
		"a first parameter":         {func(o *Options) { o.TokenURL = "https://auth.example/token?service=x" }, "the scope would be its second parameter"},
		"a fragment":                {func(o *Options) { o.TokenURL = "https://auth.example/token#x" }, `want one without "#x"`},
		"quay's users":              {func(o *Options) { o.Image, o.Username = "quay.io/me/tailscale:stable", "me" }, "private images on quay.io"},
		"the hub elsewhere":         {func(o *Options) { o.Registry = "dockerhub" }, `registry "dockerhub" only works with images on docker.io`},
		"the hub's tokens":          {func(o *Options) { o.Image, o.TokenURL = "docker.io/me/x:1", "https://auth.example/token" }, "is not used for docker.io"},
		"registry":                  {func(o *Options) { o.Registry = "quay" }, `unknown registry "quay": want one of auto, plain, dockerhub, ghcr, gitea, gitlab`},
		"token address":             {func(o *Options) { o.TokenURL = "auth.example" }, `malformed token address "auth.example"`},
		"user":                      {func(o *Options) { o.Username = "a:b" }, `malformed user name "a:b"`},
		"time":                      {func(o *Options) { o.UpdateAt = "24:00" }, `malformed time "24:00"`},
		"tarball's registry":        {func(o *Options) { o.Image, o.Tarball, o.Username = "", "x.tar", "me" }, "comes from no registry"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Default()
			o.Image = "ghcr.io/me/tailscale:stable"
			c.change(&o)
			_, err := New(o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error = %v; want it to contain %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("one mistake results in several errors: %v", err)
			}
		})
	}
}

// A variable must not set the same thing as an option, because one of them would be lost.
func TestEveryVariableOfAnOptionIsRefused(t *testing.T) {
	for _, v := range supervisor.Variables {
		if v.Flag != "" && ownArgument.MatchString("--"+v.Flag) && ownVariable[v.Name] == "" {
			t.Errorf("%s is accepted, although there is an option for --%s", v.Name, v.Flag)
		}
	}
	o := Default()
	o.Image, o.Hostname, o.Subnets, o.LoginServer, o.AuthKeyFile = "ghcr.io/me/tailscale:stable", "h", []string{"10.0.0.0/8"}, "https://h.example", true
	for _, v := range o.variables() {
		if name, _, _ := strings.Cut(v, "="); ownVariable[name] == "" {
			t.Errorf("%s is accepted, although options set it", name)
		}
	}
}

// Subnet routers advertise 4via6 networks although they are in the tailnet's range.
func TestNetworksOf4via6AreAdvertised(t *testing.T) {
	for _, subnet := range []string{"fd7a:115c:a1e0:b1a::/64", "fd7a:115c:a1e0:b1a:0:7:c0a8:5800/120", "fd7a:115c:a1e0:b1a:0:ffff::/96", "fd7a:115c:a1e0:b1a:0:7:a01:203/128"} {
		o := newShop(t).options()
		o.Subnets = []string{"192.168.88.0/24", subnet}
		r := newRouter(24)
		must(t, r, scripts(t, o)["install"])
		if want := "192.168.88.0/24," + subnet; !r.Has("/container/envs", "value", want) {
			t.Errorf("no variable has the value %s", want)
		}
	}
}

// The name of the interface in the container is limited to 15 characters.
func TestTheInterfaceNameIsNotTruncated(t *testing.T) {
	o := newShop(t).options()
	o.Name = "a-name-of1"
	r := newRouter(24)
	must(t, r, scripts(t, o)["install"])
	for _, e := range r.Tables["/interface/veth"] {
		if given := e.Values["name"].(string); len(given) != 15 {
			t.Errorf("the interface is called %s", given)
		}
	}
}

func TestTheErrorContainsEveryProblem(t *testing.T) {
	o := Default()
	o.Name, o.Image, o.Subnets, o.Hostname = "UPPER", "x", []string{"y"}, "z z"
	_, err := New(o)
	for _, want := range []string{`"UPPER"`, `"x"`, `"y"`, `"z z"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want it to name %s", err, want)
		}
	}
}

func TestAMalformedAddressIsNotReportedAsMissing(t *testing.T) {
	o := Default()
	o.Image, o.Addresses = "ghcr.io/me/tailscale:stable", []string{"172.31.255.254"}
	if _, err := New(o); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error = %v; want one line", err)
	}
}

// A key must not be in any script, and not in the error that refuses it either.
func TestKeysAreRefused(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.ExtraArgs = "--accept-routes --auth-key=tskey-hush" },
		func(o *Options) { o.ExtraArgs = "--authkey tskey-hush" },
		func(o *Options) { o.Env = []string{"TS_AUTHKEY=tskey-hush"} },
	} {
		o := Default()
		o.Image = "ghcr.io/me/tailscale:stable"
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "the key file") || strings.Contains(err.Error(), "hush") {
			t.Errorf("error = %v", err)
		}
	}
}

// The console reads back exactly the quoted text, whatever it contains.
func TestHostileTextsAreQuoted(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, text := range []string{"", "plain", `a"b`, `a\`, "$name", "$[/system/reset]", "what?", "two\nlines\r\t", "наш", string(all), `\0A`, `"; /quit; "`} {
		r := newRouter(24)
		if err := run(t, r, ":put "+Quote(text)); err != nil || !slices.Equal(r.Said, []string{text}) {
			t.Errorf("%q is quoted as %s, which means %q: %v", text, Quote(text), r.Said, err)
		}
		if q := Quote(text); strings.ContainsFunc(q, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is quoted as %q", text, q)
		}
	}
}

// Names on a router can contain anything. Scripts with such names do the same as others.
func TestHostileOptionsChangeNoCommand(t *testing.T) {
	const evil = "a\"; /system/reset-configuration; :put \"$[/quit]?\\ ж"
	o := newShop(t).options()
	o.WANList, o.InterfaceList, o.ExtraArgs, o.Env = evil, evil, evil, []string{"X=" + evil}
	r, s := newRouter(24), scripts(t, o)
	r.Put("/interface/list", "name", evil)
	before := r.Snapshot()
	must(t, r, s["install"])
	nat := r.Tables["/ip/firewall/nat"][0].Values["out-interface-list"]
	if nat != evil || !r.Has("/container/envs", "value", evil) {
		t.Errorf("the list is %q", nat)
	}
	must(t, r, s["update"])
	must(t, r, strings.Replace(s["remove"], "keepState true", "keepState false", 1))
	if after := r.Snapshot(); after != before {
		t.Errorf("after the removal:\n%s\nbefore:\n%s", after, before)
	}
	o = Default()
	o.Tarball = "дом/" + evil + "\\"
	for kind, script := range scripts(t, o) {
		if err := routertest.Parse(script); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// The tests' parser is only useful if it refuses what RouterOS refuses.
func TestTheParserRefusesWrongScripts(t *testing.T) {
	for script, want := range map[string]string{
		":put \"a":                         "the string does not end",
		":put \"a$b\"":                     "'$' in a string",
		":put \"a\\qb\"":                   "unknown escape",
		":if (1 = 1) do={ :put 1":          "is missing",
		":put (1 = 1":                      "no operator",
		":put (1 = 1 && 2 = 2)":            "in the same parentheses",
		":put (!1 = 2)":                    "what is negated",
		":put [/x/find where a=\"b\"":      "is missing",
		"put 1":                            "no command",
		":put \"a\"\"b\"":                  "a blank is missing",
		"# a comment\\\n:put 1":            "goes on in the next line",
		":if (1 = 1) do={ :put 1 } }":      "no command",
		"/x/add name=":                     "no value",
		":put [:len \"a\"; :len \"b\"]":    "2 commands in brackets",
		"/container/find where comment=":   "no value",
		"/container/find where =\"a\"":     "no property",
		":put ж":                           "no value",
		":local x do={ :put [ :len \"\" ]": "is missing",
	} {
		if err := routertest.Parse(script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error = %v; want it to contain %q", script, err, want)
		}
	}
}

// The same applies to the table of commands and to the interpreter.
func TestTheRouterRefusesWrongCommands(t *testing.T) {
	for script, want := range map[string]string{
		"/container/add interface=x envlist=y":                  "no argument envlist",
		"/container/add interface=x restart-policy=always":      "no argument restart-policy on RouterOS 7.21",
		"/container/mounts/add name=x src=a dst=b":              "no argument name",
		"/container/envs/add name=x key=a value=b":              "no argument name",
		"/container/pull x":                                     "unknown command",
		":frobnicate 1":                                         "unknown command",
		":put $x":                                               "unknown variable x",
		":local comment 1":                                      "the variable comment has the name of an argument",
		":if (\"yes\") do={ :put 1 }":                           "neither true nor false",
		":put (\"a\" . [/container/find where comment=x])":      "in a text",
		"/tool/fetch url=\"http://x/y\\3Fa=1&b=2\" output=user": "has an &",
		"/tool/fetch url=http://x output=file":                  "fetched to",
		":local x do={ :put $y }; :local y 1; $x":               "unknown variable y",
		"{ :local x 1 }; :put $x":                               "unknown variable x",
	} {
		t.Run(script, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("error = %q; want %q", got, want)
				}
			}()
			_ = run(t, newRouter(21), script)
		})
	}
}
