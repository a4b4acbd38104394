package routeros

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// appOptions are options that use everything that an app supports.
func appOptions() Options {
	o := example()
	o.Subnets, o.RemoteSubnets, o.ExitNode, o.Masquerade = []string{"192.168.88.0/24"}, []string{"192.168.89.0/24"}, true, true
	o.Firewall, o.ClampMSS, o.InterfaceList, o.Port, o.AuthKeyFile = true, true, "LAN", 41641, true
	o.Hostname, o.LoginServer, o.Env = "home", "https://headscale.example", []string{"GOGC=50", "TS_AUTH_ONCE=true"}
	return o
}

var twoSites = []Site{{"home", []string{"192.168.88.0/24", "10.0.0.0/16"}}, {"office", []string{"192.168.89.0/24"}}}

func appFiles(t *testing.T, o Options, sites []Site) map[string]string {
	t.Helper()
	all, err := App(o, sites)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, s := range all {
		files[s.Name] = s.Text
	}
	return files
}

func TestAppsMatchTheGoldenFiles(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"app/default":    appFiles(t, example(), nil),
		"app/everything": appFiles(t, appOptions(), nil),
		"app/sites":      appFiles(t, example(), twoSites),
	} {
		for file, text := range files {
			golden(t, name+"/"+file, text)
			if strings.HasSuffix(file, ".rsc") && (strings.Contains(text, "<no value>") || strings.Contains(text, "\t")) {
				t.Errorf("%s/%s contains a forbidden text", name, file)
			}
		}
	}
}

// structure is the part of all published schemas of 7.22 to 7.24 that this package's apps use.
const structure = `{
	"type": "object", "required": ["name", "services"], "additionalProperties": false,
	"properties": {
		"name": {"type": "string"}, "descr": {"type": "string"}, "page": {"type": "string", "format": "uri"},
		"category": {"enum": ["networking"]},
		"services": {"type": "object", "minProperties": 1, "patternProperties": {"^[a-z]+$": {
			"type": "object", "required": ["image"], "additionalProperties": false,
			"properties": {
				"image": {"type": "string"}, "hostname": {"type": "string"}, "restart": {"enum": ["always"]},
				"environment": {"type": "object", "additionalProperties": false, "patternProperties": {"^[A-Z_][A-Z0-9_]*$": {"type": "string"}}},
				"volumes": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+:/"}},
				"ports": {"type": "array", "items": {"type": "string", "pattern": "^[0-9]+:[0-9]+/udp:[a-z]+$"}}
			}}}, "additionalProperties": false}
	}}`

// A test can't download the published schemas. APP_SCHEMAS is a directory with downloaded schemas.
func TestAppsHaveTheStructureOfTheSchemas(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{"structure": compile(t, "structure.json", structure)}
	if dir := os.Getenv("APP_SCHEMAS"); dir != "" {
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no schemas in %s: %v", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			schemas[file] = compile(t, filepath.Base(file), string(text))
			t.Logf("with %s", file)
		}
	}
	var apps []any
	for _, files := range []map[string]string{appFiles(t, example(), nil), appFiles(t, appOptions(), nil)} {
		apps = append(apps, decode(t, files["tailscale.tikapp.yaml"]))
	}
	store, ok := decode(t, appFiles(t, example(), twoSites)["tailscale.tikappstore.yaml"]).([]any)
	if !ok || len(store) != 2 {
		t.Fatalf("the store is %v", store)
	}
	for _, app := range append(apps, store...) {
		for name, schema := range schemas {
			if err := schema.Validate(app); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func compile(t *testing.T, name, text string) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// decode converts YAML to the form for the validator, as if it were JSON.
func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	v, err = jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// appRouter returns a router with the files of an app.
func appRouter(files map[string]string) *router {
	r := newRouter(24)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		r.Put("/file", "name", name).Content = []byte(files[name])
	}
	return r
}

func expectRoute(t *testing.T, r *router, network string) {
	t.Helper()
	app := r.Tables["/app"][0]
	for _, veth := range r.Tables["/interface/veth"] {
		if veth.Values["name"] == app.Values["interface"] {
			address, _, _ := strings.Cut(veth.Values["address"].(string), "/")
			if n := slices.IndexFunc(r.Tables["/ip/route"], func(e *entry) bool { return e.Values["dst-address"] == network && e.Values["gateway"] == address }); n < 0 {
				t.Errorf("no route to %s through %s: %v", network, address, r.Tables["/ip/route"])
			}
			return
		}
	}
	t.Errorf("the app has no interface")
}

func TestAnAppIsSetUpAndRemoved(t *testing.T) {
	for name, o := range map[string]Options{"default": example(), "everything": appOptions()} {
		t.Run(name, func(t *testing.T) {
			files := appFiles(t, o, nil)
			r := appRouter(files)
			before := r.Snapshot()
			must(t, r, files["tailscale-app-setup.rsc"])
			expectRoute(t, r, "100.64.0.0/10")
			installed := r.Snapshot()
			must(t, r, files["tailscale-app-setup.rsc"])
			if again := r.Snapshot(); again != installed {
				t.Errorf("after a second run:\n%s\nafter the first:\n%s", again, installed)
			}
			must(t, r, files["tailscale-app-remove.rsc"])
			// Removing the app itself is up to the user.
			r.Tables["/app"], r.Tables["/interface/veth"] = nil, nil
			if after := r.Snapshot(); after != before {
				t.Errorf("after the removal:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// Whatever command fails or whenever the power fails, the next run or the scheduler repairs it.
func TestAnAppsSetupCanBeRepeated(t *testing.T) {
	files := appFiles(t, appOptions(), nil)
	whole := appRouter(files)
	must(t, whole, files["tailscale-app-setup.rsc"])
	for _, again := range []bool{false, true} {
		for step := 1; ; step++ {
			r := appRouter(files)
			if again {
				must(t, r, files["tailscale-app-setup.rsc"])
			}
			r.Changes, r.FailAt = 0, step
			err := run(t, r, files["tailscale-app-setup.rsc"])
			if r.Changes < step {
				if err != nil || step < 12 {
					t.Errorf("the setup has %d steps (%v)", r.Changes, err)
				}
				break
			}
			if err == nil || !strings.Contains(err.Error(), "Run this script again") {
				t.Fatalf("step %d: error = %v", step, err)
			}
			must(t, r, files["tailscale-app-setup.rsc"])
			if r.Snapshot() != whole.Snapshot() {
				t.Errorf("step %d: after a repetition:\n%s\nwant:\n%s", step, r.Snapshot(), whole.Snapshot())
			}
		}
	}
}

// Before 7.24, RouterOS assigns another address to an app when it starts. The routes follow it.
func TestRoutesFollowTheAppsAddress(t *testing.T) {
	files := appFiles(t, appOptions(), nil)
	r := appRouter(files)
	must(t, r, files["tailscale-app-setup.rsc"])
	event, rest, _ := strings.Cut(r.Tables["/system/scheduler"][0].Values["on-event"].(string), "{ /import")
	if !strings.Contains(rest, `file-name="tailscale-app-setup.rsc"`) {
		t.Fatalf("the scheduler runs %q", rest)
	}
	// The interpreter can't run this import, so the test runs it.
	moved := func() bool {
		said := len(r.Said)
		must(t, r, event+`{ :put "moved" } }`)
		return len(r.Said) > said
	}
	if moved() {
		t.Error("the routes are set again without a reason")
	}
	r.Boot()
	if moved() {
		t.Error("the routes are set while the app is not there")
	}
	r.Wait(60)
	if !moved() {
		t.Fatal("the new address was not detected")
	}
	must(t, r, files["tailscale-app-setup.rsc"])
	expectRoute(t, r, "100.64.0.0/10")
	expectRoute(t, r, "192.168.89.0/24")
	if moved() {
		t.Error("the routes still don't follow")
	}
}

func TestSitesReachEachOther(t *testing.T) {
	files := appFiles(t, example(), twoSites)
	r := appRouter(files)
	if err := run(t, r, files["tailscale-home-app-setup.rsc"]); err == nil || !strings.Contains(err.Error(), "there is no app tailscale-home: /app/settings/set app-store-urls=...") {
		t.Errorf("error = %v", err)
	}
	r.Put("/app", "name", "tailscale-home", "interface", "none").Flags["disabled"] = true
	must(t, r, files["tailscale-home-app-setup.rsc"])
	expectRoute(t, r, "192.168.89.0/24")
	if r.Has("/ip/route", "dst-address", "192.168.88.0/24") {
		t.Error("there is a route to the site's own network")
	}
	store := files["tailscale.tikappstore.yaml"]
	for _, want := range []string{"name: tailscale-home", "TS_ROUTES: 192.168.88.0/24,10.0.0.0/16", "TS_HOSTNAME: office", "TS_EXTRA_ARGS: --accept-routes"} {
		if !strings.Contains(store, want) {
			t.Errorf("the store does not contain %q:\n%s", want, store)
		}
	}
}

func TestAppsAreRefusedOnTheRouter(t *testing.T) {
	files := appFiles(t, appOptions(), nil)
	for name, c := range map[string]struct {
		spoil func(*router)
		want  string
	}{
		"old RouterOS":    {func(r *router) { r.Singles["/system/resource"]["version"] = "7.21.3 (stable)" }, "needs RouterOS 7.22 or later"},
		"ARM":             {func(r *router) { r.Singles["/system/resource"]["architecture-name"] = "arm" }, "apps need arm64 or x86, but this router is arm"},
		"no package":      {func(r *router) { r.Tables["/system/package"] = nil }, "the container package is not installed"},
		"containers off":  {func(r *router) { r.Singles["/system/device-mode"]["container"] = false }, "containers are switched off"},
		"scheduler off":   {func(r *router) { r.Singles["/system/device-mode"]["scheduler"] = false }, "the scheduler is switched off"},
		"no disk":         {func(r *router) { r.Singles["/app/settings"]["disk"] = "" }, "no disk is set for apps: /app/settings/set disk=..."},
		"no file":         {func(r *router) { dropFile(r, "tailscale.tikapp.yaml") }, "there is no file tailscale.tikapp.yaml"},
		"no setup script": {func(r *router) { dropFile(r, "tailscale-app-setup.rsc") }, "there is no file tailscale-app-setup.rsc"},
		"scripts":         {func(r *router) { r.Put("/interface/veth", "name", "veth-tailscale") }, "the interface veth-tailscale already exists"},
		"route":           {func(r *router) { r.Put("/ip/route", "dst-address", "100.64.0.0/10") }, "a route to 100.64.0.0/10 already exists"},
		"remote route":    {func(r *router) { r.Put("/ip/route", "dst-address", "192.168.89.0/24") }, "a route to 192.168.89.0/24 already exists"},
		"list":            {func(r *router) { r.Tables["/interface/list"] = nil }, "there is no interface list WAN"},
	} {
		t.Run(name, func(t *testing.T) {
			r := appRouter(files)
			c.spoil(r)
			before := r.Snapshot()
			if err := run(t, r, files["tailscale-app-setup.rsc"]); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to contain %q", err, c.want)
			}
			if r.Changes > 0 || r.Snapshot() != before {
				t.Error("the router was changed")
			}
		})
	}
}

func TestUnsupportedOptionsOfAnAppAreRefused(t *testing.T) {
	six := []Site{{"home", []string{"fd88::/64"}}, {"office", nil}}
	for name, c := range map[string]struct {
		change func(*Options)
		sites  []Site
		want   string
	}{
		"no image":       {func(o *Options) { o.Image = "" }, nil, "neither an image nor a tarball"},
		"tarball":        {func(o *Options) { o.Image, o.Tarball = "", "x.tar" }, nil, "an app has no tarball"},
		"platform":       {func(o *Options) { o.Arch = "arm64" }, nil, "an app has no platform"},
		"memory":         {func(o *Options) { o.Root = RootMemory }, nil, "an app has no root in memory"},
		"disk":           {func(o *Options) { o.Disk = "usb1" }, nil, "/app/settings has it"},
		"address":        {func(o *Options) { o.Addresses = []string{"10.0.0.2/30"} }, nil, "an app has no address"},
		"gateway":        {func(o *Options) { o.Gateways = []string{"10.0.0.1"} }, nil, "an app has no gateway"},
		"bridge":         {func(o *Options) { o.Bridge = "bridge" }, nil, "an app has no bridge"},
		"limit":          {func(o *Options) { o.Memory = 128 }, nil, "an app has no memory limit"},
		"name server":    {func(o *Options) { o.DNS = []string{"9.9.9.9"} }, nil, "an app has no name server"},
		"HTTP":           {func(o *Options) { o.Insecure = true }, nil, "an app has no plain HTTP"},
		"user":           {func(o *Options) { o.Username = "me" }, nil, "/container/config has it"},
		"in place":       {func(o *Options) { o.InPlace = true }, nil, "an app has no update in place"},
		"time":           {func(o *Options) { o.UpdateAt = "04:30" }, nil, "an app has no time of updates"},
		"IPv6":           {func(o *Options) { o.RemoteSubnets = []string{"fd89::/64"} }, nil, `"fd89::/64" is reached through no app`},
		"a site's IPv6":  {func(*Options) {}, six, `"fd88::/64" is reached through no app`},
		"a site twice":   {func(*Options) {}, []Site{twoSites[0], twoSites[0]}, `the site "home" is given twice`},
		"overlap":        {func(*Options) {}, []Site{twoSites[0], {"office", []string{"10.0.1.0/24"}}}, "site home: remote subnet"},
		"subnets":        {func(o *Options) { o.Subnets = []string{"10.0.0.0/8"} }, twoSites, "leave out the hostname and the subnets"},
		"malformed site": {func(*Options) {}, []Site{{"home", []string{"x"}}}, `site home: malformed subnet "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := example()
			c.change(&o)
			if files, err := App(o, c.sites); err == nil || !strings.Contains(err.Error(), c.want) || files != nil {
				t.Errorf("error = %v; want it to contain %q", err, c.want)
			}
		})
	}
}

func TestSitesAreParsed(t *testing.T) {
	sites, err := ParseSites([]string{"home=192.168.88.0/24,fd88::/64", "cabin="})
	if err != nil || len(sites) != 2 || sites[0].Name != "home" || !slices.Equal(sites[0].Subnets, []string{"192.168.88.0/24", "fd88::/64"}) || len(sites[1].Subnets) > 0 {
		t.Errorf("%v, %v", sites, err)
	}
	for _, wrong := range []string{"", "home", "=10.0.0.0/8", "Home=10.0.0.0/8", "a-very-long-name=10.0.0.0/8"} {
		if _, err := ParseSites([]string{wrong}); err == nil || !strings.Contains(err.Error(), "malformed site") {
			t.Errorf("%q: error = %v", wrong, err)
		}
	}
}
