package recipe

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dagger/mikrotik-tailscale/platform"
)

// The output of Tailscale's own tool.
const featureOutput = `                 cli: embed the CLI into the tailscaled binary
                 c2n: Control-to-node (C2N) support
                 dns: MagicDNS and system DNS configuration support
                 ssh: Tailscale SSH support

ts_include_cli,ts_omit_ssh

go1.27.3
`

func config(t *testing.T, change func(*Config)) Config {
	t.Helper()
	c := Default()
	if change != nil {
		change(&c)
	}
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestResolveKnowsWhatIsBuiltIn(t *testing.T) {
	c := config(t, func(c *Config) { c.Features, c.Entrypoint = []string{"dns", "cli"}, []string{"/own"} })
	r, err := Resolve(c, featureOutput)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"cli", "c2n", "dns"}; !slices.Equal(r.Features, want) {
		t.Errorf("features = %v; want %v", r.Features, want)
	}
	if r.Go != "1.27.3" {
		t.Errorf("the release is compiled by Go %s", r.Go)
	}
	if r.Tags != "ts_include_cli,ts_omit_ssh" || len(r.Known) != 4 || !r.Has("dns") || r.Has("ssh") {
		t.Errorf("resolved = %+v", r)
	}
}

func TestResolveRefusesFeaturesThatTailscaleIgnores(t *testing.T) {
	c := config(t, func(c *Config) { c.Features, c.Entrypoint = []string{"dns", "warp", "drive"}, []string{"/own"} })
	_, err := Resolve(c, featureOutput)
	want := "Tailscale " + TailscaleVersion + ` has no feature "drive", "warp": it has cli, c2n, dns, ssh`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v; want %s", err, want)
	}
	c.Features = []string{"shh"}
	if _, err := Resolve(c, featureOutput); err == nil || !strings.Contains(err.Error(), `no feature "shh" (did you mean "ssh"?): it has cli, `) {
		t.Errorf("error = %v", err)
	}
	if _, err := Resolve(c, "something else"); err == nil || !strings.Contains(err.Error(), "unexpected list of the features") {
		t.Errorf("error = %v", err)
	}
}

// The Tailscale release decides which Go release compiles it, unless one is configured.
func TestTheGoReleaseOfATailscaleRelease(t *testing.T) {
	for _, c := range []struct{ configured, release, asked, want string }{
		{"", TailscaleVersion, "go" + TailscaleGo + "+auto", "go1.27.3"},
		{"", PreviousTailscaleVersion, "go" + GoVersion + "+auto", "go1.27.3"},
		{"1.26.9", TailscaleVersion, "go1.26.9", "go1.26.9"},
	} {
		configured, want := c.configured, c.want
		asked := Variable{"GOTOOLCHAIN", c.asked}
		c := config(t, func(config *Config) {
			config.TailscaleVersion, config.GoVersion, config.Features = c.release, configured, []string{"cli", "ipnbus", "unixsocketidentity"}
		})
		if !slices.Contains(ResolveFeatures(c).Env, asked) {
			t.Errorf("with Go version %q, Tailscale %s is asked with %v", configured, c.TailscaleVersion, ResolveFeatures(c).Env)
		}
		got := Plan{platform.All()[0], c, Resolved{Go: "1.27.3"}}.Tailscale().Env
		if !slices.Contains(got, Variable{"GOTOOLCHAIN", want}) {
			t.Errorf("with Go version %q, the compiler's environment is %v", configured, got)
		}
	}
}

func TestATailscaleReleaseWithAnUnknownGoIsRefused(t *testing.T) {
	output := strings.Replace(featureOutput, "go1.27.3", "go1.29.0", 1)
	c := config(t, func(c *Config) { c.Features, c.Entrypoint = []string{"dns"}, []string{"/own"} })
	if _, err := Resolve(c, output); err == nil || !strings.Contains(err.Error(), "unsupported Go version \"1.29.0\"") {
		t.Errorf("error = %v", err)
	}
	c.KeepSymbols, c.StockRuntime = true, true
	if _, err := Resolve(c, output); err != nil {
		t.Error(err)
	}
}

// A new feature of a release is reported, not silently left out.
func TestNewFeaturesAreReported(t *testing.T) {
	output := strings.Replace(featureOutput, "                 ssh:", "            teleport: new in this release\n                 ssh:", 1)
	output = strings.Replace(output, "ts_omit_ssh", "ts_omit_ssh,ts_omit_teleport", 1)
	c := config(t, func(c *Config) { c.Features, c.Entrypoint = []string{"dns"}, []string{"/own"} })
	r, err := Resolve(c, output)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Undecided(); !slices.Equal(got, []string{"teleport"}) || len(r.Warnings()) != 1 || !strings.Contains(r.Warnings()[0], "teleport") {
		t.Errorf("undecided are %v, and the warnings %q", got, r.Warnings())
	}
	if r, err = Resolve(c, strings.Replace(output, ",ts_omit_teleport", "", 1)); err != nil || r.Warnings() != nil {
		t.Errorf("there is a warning about a feature that is built in: %q, %v", r.Warnings(), err)
	}
}

// The table in docs/design.md has the reason for every feature that is left out.
func TestEveryFeatureThatIsLeftOutHasItsReason(t *testing.T) {
	page, err := os.ReadFile("../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && strings.HasPrefix(line, "| `") {
			for _, name := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[name[1]] = true
			}
		}
	}
	for _, name := range leftOut {
		if !documented[name] {
			t.Errorf("no reason for leaving out %s", name)
		}
		if FeatureReason(name) != "" {
			t.Errorf("%s is left out, but there is a reason to have it", name)
		}
	}
	for name := range documented {
		if !slices.Contains(leftOut, name) {
			t.Errorf("%s is not left out, but there is a reason to leave it out", name)
		}
	}
}

func TestFeaturesCanBeChangedOrReplaced(t *testing.T) {
	for name, c := range map[string]struct{ given, want []string }{
		"default": {nil, Features()},
		"named":   {[]string{"dns", "unixsocketidentity", "ipnbus", "cli"}, []string{"dns", "unixsocketidentity", "ipnbus", "cli"}},
		"added":   {[]string{"+ssh", "+dns"}, append(Features(), "ssh")},
		"removed": {[]string{"-" + Features()[0]}, Features()[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			got := config(t, func(x *Config) { x.Features = c.given })
			if !slices.Equal(got.Features, c.want) {
				t.Errorf("features = %v; want %v", got.Features, c.want)
			}
		})
	}
}

func TestDependenciesThatTailscaleDoesNotDeclareAreBuilt(t *testing.T) {
	c := config(t, func(c *Config) { c.Features = []string{"+acme", "+syspolicy"} })
	steps := ResolveFeatures(c).Steps
	var added []string
	for _, arg := range steps[len(steps)-1] {
		added = append(added, strings.Split(arg, ",")...)
	}
	for _, name := range []string{"serve", "clientmetrics"} {
		if !slices.Contains(added, name) {
			t.Errorf("%s is not built: %v", name, added)
		}
		if slices.Contains(c.Features, name) {
			t.Errorf("%s is in the configuration, as if the user had asked for it", name)
		}
	}
}

func TestEveryDefaultFeatureHasItsReason(t *testing.T) {
	for _, f := range Features() {
		if FeatureReason(f) == "" {
			t.Errorf("no reason for %s", f)
		}
	}
	if !slices.IsSorted(Features()) {
		t.Error("the default features are not sorted")
	}
}

func TestCompleteFillsInDefaults(t *testing.T) {
	c := config(t, func(c *Config) { c.TailscaleVersion, c.GoVersion, c.Tag = "v1.100.0", "go1.26.7", "" })
	if c.TailscaleVersion != "1.100.0" || c.GoVersion != "1.26.7" {
		t.Errorf("versions = %s, %s", c.TailscaleVersion, c.GoVersion)
	}
	if c.Tag != "mikrotik-tailscale:1.100.0-mt.1" || c.BusyboxChecksum != busyboxChecksums[BusyboxVersion] {
		t.Errorf("tag = %s, checksum = %s", c.Tag, c.BusyboxChecksum)
	}
}

// The command's tests try each possible mistake in a configuration.
func TestCompleteReturnsAllMistakes(t *testing.T) {
	c := Config{TailscaleVersion: "1", Features: []string{"A"}, Tag: "a b"}
	err := c.Complete()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`Tailscale version "1"`, "no busybox version", `feature "A"`, `compression ""`, "no applets", `tag "a b"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %s:\n%v", want, err)
		}
	}
}

func TestAGoReleaseThatTheToolsDoNotKnowIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"the next release":          {func(c *Config) { c.GoVersion = "1.27.3" }, ""},
		"a later release":           {func(c *Config) { c.GoVersion = "1.29.0" }, "unsupported Go version \"1.29.0\": choose a release of Go 1.26 or 1.27, or keep the symbols and the stock runtime"},
		"an older release":          {func(c *Config) { c.GoVersion = "1.2.3" }, `unsupported Go version "1.2.3"`},
		"symbols are kept":          {func(c *Config) { c.GoVersion, c.KeepSymbols = "1.29.0", true }, `unsupported Go version "1.29.0"`},
		"stock runtime":             {func(c *Config) { c.GoVersion, c.StockRuntime = "1.29.0", true }, `unsupported Go version "1.29.0"`},
		"symbols and stock runtime": {func(c *Config) { c.GoVersion, c.KeepSymbols, c.StockRuntime = "1.29.0", true, true }, ""},
	} {
		t.Run(name, func(t *testing.T) { wantProblem(t, c.change, c.want) })
	}
}

// wantProblem checks that a configuration with one change results in one line that contains want, or in no error if
// want is empty.
func wantProblem(t *testing.T, change func(*Config), want string) {
	t.Helper()
	c := Default()
	change(&c)
	err := c.Complete()
	if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("error = %v; want one line with %q", err, want)
	}
}

func TestDownloadAddressesAreChecked(t *testing.T) {
	const key = "sum.example+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
	proxy := func(given string) Addresses { return Addresses{GoProxy: given} }
	database := func(given string) Addresses { return Addresses{GoSumDB: given} }
	mirror := func(given string) Addresses { return Addresses{DebianMirror: given} }
	for name, c := range map[string]struct {
		addresses Addresses
		want      string
	}{
		"two proxies":               {proxy("https://proxy.example/go,http://other.example:8080|direct"), ""},
		"a directory as proxy":      {proxy("file:///srv/proxy,off"), ""},
		"a proxy with no host":      {proxy("direct,http://"), `malformed Go proxy "http://"`},
		"a proxy with only a port":  {proxy("https://:443"), `malformed Go proxy "https://:443"`},
		"a relative directory":      {proxy("file://srv/proxy"), `malformed Go proxy "file://srv/proxy"`},
		"no database":               {database("off"), ""},
		"a database elsewhere":      {database("sum.golang.org https://sum.example"), ""},
		"a database with its key":   {database(key), ""},
		"and elsewhere":             {database(key + " https://sum.example"), ""},
		"a database without key":    {database("sum.example"), `malformed Go checksum database "sum.example"`},
		"a database with no host":   {database("sum.golang.org https://"), `malformed Go checksum database "sum.golang.org https://"`},
		"three words":               {database("sum.golang.org https://sum.example x"), "malformed Go checksum database"},
		"spaces":                    {database("  "), "malformed Go checksum database"},
		"a mirror":                  {mirror("http://mirror.example/debian"), ""},
		"a mirror with no host":     {mirror("http:///debian"), `malformed Debian mirror "http:///debian"`},
		"a mirror with a port only": {mirror("http://:80/debian"), `malformed Debian mirror "http://:80/debian"`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.addresses.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want %q", err, c.want)
			}
		})
	}
}

func TestOneMistakeResultsInOneError(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"malformed Tailscale version": func(c *Config) { c.TailscaleVersion = "a b" },
		"malformed Go version":        func(c *Config) { c.GoVersion = "1" },
		"malformed busybox version":   func(c *Config) { c.BusyboxVersion = "1" },
		"malformed checksum":          func(c *Config) { c.BusyboxChecksum = "abc" },
	} {
		t.Run(name, func(t *testing.T) { wantProblem(t, change, "malformed") })
	}
}

// The cache key of an output is computed from the stage.
func TestStagesDifferExactlyWhereTheyShould(t *testing.T) {
	c := config(t, nil)
	r, err := Resolve(config(t, func(c *Config) { c.Features, c.Entrypoint = []string{"dns"}, []string{"/own"} }), featureOutput)
	if err != nil {
		t.Fatal(err)
	}
	key := func(s Stage) string {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	seen := map[string]string{}
	for _, target := range platform.All() {
		for _, s := range []Stage{Plan{target, c, r}.Tailscale(), Busybox(target, c)} {
			if other, ok := seen[key(s)]; ok {
				t.Errorf("%s is the same as %s", s.Title(), other)
			}
			seen[key(s)] = s.Title()
			if key(s) != key(map[string]func() Stage{
				"tailscale": func() Stage { return Plan{target, c, r}.Tailscale() },
				"busybox":   func() Stage { return Busybox(target, c) },
			}[s.Name]()) {
				t.Errorf("%s differs each time", s.Title())
			}
		}
	}
}

// Download addresses don't change any bytes, and may contain a password. The test fails if a configuration or a stage
// gets a field for one.
func TestAddressesAreNotPartOfConfigsOrStages(t *testing.T) {
	for _, kept := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[Stage](), reflect.TypeFor[v1.Config]()} {
		for field := range reflect.TypeFor[Addresses]().Fields() {
			if _, found := kept.FieldByName(field.Name); found {
				t.Errorf("%v has a field %s", kept, field.Name)
			}
		}
		for field := range kept.Fields() {
			if field.Type == reflect.TypeFor[Addresses]() {
				t.Errorf("%v has Addresses in its field %s", kept, field.Name)
			}
		}
	}
}

func TestAddressesReachOnlyTheStagesThatUseThem(t *testing.T) {
	given := Addresses{BusyboxURL: "https://a.example", GoProxy: "https://b.example", GoSumDB: "off", DebianMirror: "https://c.example"}
	if err := given.Validate(); err != nil {
		t.Error(err)
	}
	if again := NewAddresses(given.Variables()); again != given {
		t.Errorf("NewAddresses(%v) = %v", given.Variables(), again)
	}
	if all := given.All(); len(all) != reflect.TypeFor[Addresses]().NumField() || slices.Contains(all, "") {
		t.Errorf("All() = %q", all)
	}
	c := config(t, nil)
	for _, want := range []struct {
		stage Stage
		names []string
	}{
		{ResolveFeatures(c), []string{"GOPROXY", "GOSUMDB"}},
		{BusyboxSource(c), []string{"BUSYBOX_URL", "DEBIAN_MIRROR"}},
		{MuslSource(), []string{"DEBIAN_MIRROR"}},
		{Certificates(), nil},
	} {
		if got := AddressVariables(want.stage); !slices.Equal(got, want.names) {
			t.Errorf("%s gets %q; want %q", want.stage.Title(), got, want.names)
		}
	}
}

// Addresses are checked without showing their passwords.
func TestAllMalformedAddressesAreInTheError(t *testing.T) {
	err := Addresses{
		BusyboxURL: "file://robot:s3cret@x", GoProxy: "ssh://robot:s3cret@y", GoSumDB: "https://robot:s3cret@z", DebianMirror: "ftp://robot:s3cret@there",
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"busybox address", "Go proxy", "Go checksum database", "Debian mirror"} {
		if !strings.Contains(err.Error(), "malformed "+want) {
			t.Errorf("error does not name the %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error contains a password:\n%v", err)
	}
}

func TestRootfsHasEveryLink(t *testing.T) {
	c := config(t, nil)
	arm, err := platform.Parse("arm")
	if err != nil {
		t.Fatal(err)
	}
	entries := Plan{Target: arm, Config: c}.Entries()
	links := map[string]string{}
	for i, e := range entries {
		links[e.Path] = e.Link
		if strings.HasPrefix(e.Path, "/") || strings.HasPrefix(e.Link, "/") {
			t.Errorf("%s -> %s is not relative", e.Path, e.Link)
		}
		if i > 0 && entries[i-1].Path >= e.Path {
			t.Errorf("%s comes after %s", e.Path, entries[i-1].Path)
		}
	}
	for _, applet := range c.Applets.Names() {
		if links["bin/"+applet] != "busybox" {
			t.Errorf("no link for the applet %s", applet)
		}
	}
	if links["usr/local/bin/tailscale"] != "tailscaled" {
		t.Error("no link for the command line tool")
	}
}
