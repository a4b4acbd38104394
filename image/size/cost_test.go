package size

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dagger/mikrotik-tailscale/recipe"
)

var update = flag.Bool("update", false, "write the table in docs/features.md again")

var measured = Costs{Features: []Cost{
	{Change: "+serve", Dependencies: []string{"gro", "netstack"}, TailscaleVersion: "1.102.5", Flash: map[string]int64{"amd64": 601234, "arm": 600049}, Memory: new(int64(2000))},
	{Change: "+tap", Dependencies: []string{}, TailscaleVersion: recipe.TailscaleVersion, Flash: map[string]int64{"amd64": -4}, Memory: new(int64(8))},
	{Change: "+wakeonlan", Dependencies: []string{}, Flash: map[string]int64{}},
	{Change: "-portmapper", Dependencies: []string{"nattraversal"}, TailscaleVersion: recipe.TailscaleVersion, Flash: map[string]int64{"amd64": -30000, "arm": 0}, Memory: new(int64(-120))},
}}

func TestTheTableOfCosts(t *testing.T) {
	want := `
      feature  amd64, kB  arm, kB  memory, MB
       +serve     +601.2   +600.0        +2.0  adds gro, netstack; measured with Tailscale 1.102.5
         +tap          0                    0
   +wakeonlan                                  not measured
  -portmapper      -30.0        0        -0.1  removes nattraversal
`
	if diff := cmp.Diff(want, "\n"+measured.Table()); diff != "" {
		t.Errorf("the table differs (-want +got):\n%s", diff)
	}
	want = "| feature | amd64, kB | arm, kB | memory, MB |  |\n|---|---:|---:|---:|---|\n" +
		"| `+serve` | +601.2 | +600.0 | +2.0 | adds gro, netstack; measured with Tailscale 1.102.5 |\n"
	if got := measured.Markdown(); !strings.HasPrefix(got, want) {
		t.Errorf("in Markdown the table is\n%s\nwant it to begin with\n%s", got, want)
	}
}

func TestMeasurementsAreAdded(t *testing.T) {
	var c Costs
	put := func(change, version string, memory *int64, flash map[string]int64) {
		c.Put(Cost{Change: change, TailscaleVersion: version, Flash: flash, Memory: memory})
	}
	put("+ssh", "1.104.5", nil, map[string]int64{"arm": 5})
	put("+ssh", "1.104.5", new(int64(70)), map[string]int64{"amd64": 6})
	put("+ssh", "1.104.5", nil, map[string]int64{"arm": 7})
	put("+acme", "1.102.5", new(int64(9)), map[string]int64{"amd64": 8})
	put("+acme", "1.104.5", nil, map[string]int64{"arm": 4})
	want := []Cost{
		{Change: "+acme", TailscaleVersion: "1.104.5", Flash: map[string]int64{"arm": 4}}, // nothing of the other release
		{Change: "+ssh", TailscaleVersion: "1.104.5", Flash: map[string]int64{"amd64": 6, "arm": 7}, Memory: new(int64(70))},
	}
	if diff := cmp.Diff(want, c.Features); diff != "" {
		t.Errorf("the costs differ (-want +got):\n%s", diff)
	}
	for _, wanted := range []struct {
		change, version, platform string
		has                       bool
	}{
		{"+ssh", "1.104.5", "amd64", true}, {"+ssh", "1.104.5", "arm64", false},
		{"+ssh", "1.102.5", "amd64", false}, {"-ssh", "1.104.5", "amd64", false},
	} {
		if got := c.Has(wanted.change, wanted.version, wanted.platform); got != wanted.has {
			t.Errorf("%+v: %v", wanted, got)
		}
	}
}

func TestDamagedCostsAreAnError(t *testing.T) {
	if _, err := ParseCosts("{"); err == nil || !strings.Contains(err.Error(), "reading the costs of features: ") {
		t.Errorf("error = %v", err)
	}
}

func TestEveryFeatureThatIsLeftOutIsListed(t *testing.T) {
	c, err := FeatureCosts()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]Cost{}
	for _, f := range c.Features {
		listed[f.Change] = f
	}
	for _, name := range recipe.LeftOut() {
		if _, ok := listed["+"+name]; !ok {
			t.Errorf("+%s is not listed", name)
		}
		delete(listed, "+"+name)
	}
	for _, name := range recipe.Features() {
		delete(listed, "-"+name)
	}
	for change := range listed {
		t.Errorf("%s is measured, but it is no change of the default features: run BenchmarkFeatures again", change)
	}
	if f := c.Features; !slices.IsSortedFunc(f, func(a, b Cost) int { return strings.Compare(a.Change, b.Change) }) {
		t.Error("the costs are not sorted")
	}
}

func TestTheFileHasTheFormThatTheBenchmarkWrites(t *testing.T) {
	c, err := ParseCosts(costs)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.JSON()
	if diff := cmp.Diff(text, costs); diff != "" || err != nil {
		t.Errorf("%s differs (%v, -want +got):\n%s", CostsFile, err, diff)
	}
}

// The table is between these lines of docs/features.md.
const (
	begin = "<!-- costs: written by \"go test ./image/size -update\" -->\n"
	end   = "<!-- end of costs -->\n"
)

func TestTheDocumentationHasTheCosts(t *testing.T) {
	const path = "../../docs/features.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(page), begin)
	table, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s lacks the lines\n%s%s", path, begin, end)
	}
	c, err := FeatureCosts()
	if err != nil {
		t.Fatal(err)
	}
	want := c.Markdown()
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("%s differs from %s; to write the table again, run go test ./image/size -update (-want +got):\n%s", path, CostsFile, diff)
	}
}
