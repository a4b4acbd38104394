package endtoend

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// BenchmarkFeatures builds an image with each change of the default features, starts it, and measures what the change
// costs. A change that doesn't compile, can't be stripped or packed, or doesn't start is a failure.
//
// It writes each result to image/size/features.json at once, and skips those that the file already has for the Tailscale
// release. So it can be interrupted. PLATFORMS and FEATURES limit it to some platforms and changes, with commas between
// them. The changes that FEATURES names are measured again.
func BenchmarkFeatures(b *testing.B) {
	testmode.Machine(b)
	var all []string
	for _, p := range platform.All() {
		all = append(all, p.Name)
	}
	platforms, changes := listed("PLATFORMS", all), listed("FEATURES", changes())
	for b.Loop() {
		m := newMeter(b)
		for _, p := range platforms {
			for _, change := range changes {
				b.Run(p+change, func(b *testing.B) { m.measure(b, p, change, os.Getenv("FEATURES") != "") })
			}
		}
	}
}

// listed returns the names in an environment variable.
func listed(variable string, otherwise []string) []string {
	if text := os.Getenv(variable); text != "" {
		return strings.Split(text, ",")
	}
	return otherwise
}

// changes returns all changes of the default features by one feature, except those that no image can do without.
func changes() (all []string) {
	for _, name := range recipe.LeftOut() {
		all = append(all, "+"+name)
	}
	for _, name := range recipe.Features() {
		c := recipe.Default()
		c.Features = []string{"-" + name}
		if c.Complete() == nil {
			all = append(all, "-"+name)
		}
	}
	return all
}

// costsFile is the file with the results, relative to this package.
const costsFile = "../" + size.CostsFile

// meter measures what changes of the default features cost.
type meter struct {
	b       *testing.B
	builder *local.Builder
	world   *world
	sites   []site
	// states and idle are the states of the routers and their memory with the default image, by Tailscale release.
	states map[string][]string
	idle   map[string]int64
}

// starts is how many routers run at the same time to measure their memory. The memory of two routers with the same image
// differs by up to 400 kB.
const starts = 5

func newMeter(b *testing.B) meter {
	b.Helper()
	builder, err := local.Open(b.Context(), local.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = builder.Close() })
	w := newWorld(b)
	w.control.start()
	m := meter{b: b, builder: builder, world: w, states: map[string][]string{}, idle: map[string]int64{}}
	for number := range starts {
		m.sites = append(m.sites, w.site(number+1))
	}
	return m
}

// importingGVisor are the features whose code imports gVisor. They are measured with the previous Tailscale release.
var importingGVisor = []string{"gro", "netstack", "tap"}

// measure measures a change on one platform, and adds the result to the file.
func (m meter) measure(b *testing.B, target, change string, again bool) {
	b.Helper()
	version := recipe.TailscaleVersion
	features := m.resolved(b, version, change)
	if slices.ContainsFunc(features, func(f string) bool { return slices.Contains(importingGVisor, f) }) {
		version = recipe.PreviousTailscaleVersion
		features = m.resolved(b, version, change)
	}
	if !again && readCosts(b).Has(change, version, target) {
		b.Skip("measured already")
	}
	cost := size.Cost{Change: change, TailscaleVersion: version, Dependencies: others(m.resolved(b, version), features, change[1:])}
	release := "--tailscale-version=" + version
	changed := buildImage(b, b.TempDir(), target, release, "--features="+change)
	cost.Flash = map[string]int64{target: changed.size(b) - builtImage(b, target, release).size(b)}
	if _, foreign := emulators[target]; foreign {
		startsEmulated(b, changed, version)
	} else {
		cost.Memory = new(m.atRest(b, changed, release) - m.defaultAtRest(b, release))
	}
	costs := readCosts(b)
	costs.Put(cost)
	text, err := costs.JSON()
	if err != nil {
		b.Fatal(err)
	}
	write(b, costsFile, text)
	row, err := json.Marshal(cost)
	b.Logf("%s %v", row, err)
}

func readCosts(b *testing.B) size.Costs {
	b.Helper()
	text, err := os.ReadFile(costsFile)
	if err != nil {
		b.Fatal(err)
	}
	costs, err := size.ParseCosts(string(text))
	if err != nil {
		b.Fatal(err)
	}
	return costs
}

// resolved returns the features of an image with their dependencies.
func (m meter) resolved(b *testing.B, version string, changes ...string) []string {
	b.Helper()
	c := recipe.Default()
	c.TailscaleVersion, c.Features = version, changes
	if err := c.Complete(); err != nil {
		b.Fatal(err)
	}
	path, err := m.builder.Output(b.Context(), recipe.ResolveFeatures(c))
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	r, err := recipe.Resolve(c, string(text))
	if err != nil {
		b.Fatal(err)
	}
	return r.Features
}

// others returns the features that are in one list only, without the one that is named.
func others(one, two []string, named string) []string {
	differing := []string{}
	for _, f := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(one, two)))) {
		if f != named && slices.Contains(one, f) != slices.Contains(two, f) {
			differing = append(differing, f)
		}
	}
	return differing
}

// startsEmulated checks that the daemon starts on an emulated processor. Only an image with gVisor could log in there.
func startsEmulated(b *testing.B, i image, version string) {
	b.Helper()
	c := startEmulated(b, i, options{args: []string{"sleep", "3600"}})
	if got := c.must("tailscaled --version"); !strings.HasPrefix(got, version+"\n") {
		b.Errorf("tailscaled --version prints %q", got)
	}
}

// defaultAtRest returns atRest of the default image.
func (m meter) defaultAtRest(b *testing.B, release string) int64 {
	b.Helper()
	if _, ok := m.idle[release]; !ok {
		m.idle[release] = m.atRest(b, builtImage(b, "amd64", release), release)
	}
	return m.idle[release]
}

// atRest returns the memory of an idle router that is logged in, in kilobytes: the median of several routers.
func (m meter) atRest(b *testing.B, i image, release string) int64 {
	b.Helper()
	s := &scope{TB: b}
	defer s.end()
	var routers []*container
	for n, state := range m.loggedIn(release) {
		copied := b.TempDir()
		command(b, "cp", "-a", state+"/.", copied)
		routers = append(routers, m.router(s, i, n, copied))
	}
	var values []float64
	for _, r := range routers {
		r.running()
	}
	for _, r := range routers {
		values = append(values, float64(r.memory().unreclaimable))
	}
	return int64(median(values))
}

// loggedIn returns the states of routers that are logged in. All images of a release use copies of them, so that the
// tailnet doesn't grow.
func (m meter) loggedIn(release string) []string {
	m.b.Helper()
	for n := len(m.states[release]); n < starts; n++ {
		state := m.b.TempDir()
		r := m.router(m.b, builtImage(m.b, "amd64", release), n, state, "TS_AUTHKEY="+m.world.control.key(false))
		r.running()
		r.stop()
		m.states[release] = append(m.states[release], state)
	}
	return m.states[release]
}

// router starts a router at one of the sites. The smallest limit makes the daemon's runtime return all garbage, whose size
// is different in each router.
func (m meter) router(t testing.TB, i image, n int, state string, env ...string) *container {
	t.Helper()
	return startContainer(t, options{name: fmt.Sprintf("router%d", n+1), image: i, network: m.sites[n].container, state: state,
		env: append([]string{"TS_LOGIN_SERVER=" + controlURL, "TS_ROUTES=" + m.sites[n].routes, "GOMEMLIMIT=1MiB"}, env...)})
}
