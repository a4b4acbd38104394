package size

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/shrink/launcher"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

func TestThePackageOfAFunction(t *testing.T) {
	for function, want := range map[string]string{
		"runtime.mallocgc":                                  "runtime",
		"net/http.(*Client).do":                             "net/http",
		"tailscale.com/ipn/ipnlocal.init.func1":             "tailscale.com/ipn/ipnlocal",
		"slices.SortFunc[go.shape.[]a/b.T,go.shape.x/y.T]":  "slices",
		"gopkg.in/yaml%2ev3.unmarshal":                      "gopkg.in/yaml.v3",
		"internal/runtime/maps.(*Map).getWithKey":           "internal/runtime/maps",
		"a/b.glob..func2":                                   "a/b",
		"type:.eq.[2]interface {}":                          Generated,
		"go:buildid":                                        Generated,
		"_rt0_amd64_linux":                                  "runtime",
		"iter.Pull[go.shape.struct { a/b.c string }].func1": "iter",
	} {
		if got := packageOf(function); got != want {
			t.Errorf("%s is in %q; want %q", function, got, want)
		}
	}
}

// A program of 12 bytes of code, 4 bytes of data, and tables, in a launcher of 100 bytes.
func TestSharesOfAProgram(t *testing.T) {
	sections := []*elf.Section{
		{SectionHeader: elf.SectionHeader{Name: ".text", Offset: 4, Size: 12}},
		{SectionHeader: elf.SectionHeader{Name: ".data", Offset: 16, Size: 4}},
		{SectionHeader: elf.SectionHeader{Name: ".bss", Type: elf.SHT_NOBITS, Offset: 4, Size: 400}},
	}
	costs := func(bits ...float32) []float32 { return bits }
	parts := []launcher.Part{
		{Place: 4, Size: 16, Packed: 9, Costs: costs(8, 8, 8, 8, 4, 4, 4, 4, 0, 0, 0, 0, 16, 0, 0, 8)},
		{Place: 20, Size: 30, Packed: 5, Filter: launcher.FilterTable, Costs: make([]float32, 30)},
		{Place: 50, Size: 40, Packed: 6, Filter: launcher.FirstPCs},
	}
	functions := []pclntab.Function{{Name: "small.f", Begin: 0, End: 4}, {Name: "large.f", Begin: 4, End: 8}, {Name: "large.g", Begin: 8, End: 12}}
	var got Program
	got.share(100, parts, functions, sections)
	want := Program{
		Packages: []Share{{"small", 4, 4}, {"large", 8, 2}},
		Rest:     []Share{{"launcher and headers", 0, 80}, {"pc tables", 40, 6}, {"function table", 30, 5}, {".data", 4, 3}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if table := got.Table(); !strings.Contains(table, "6         12          all packages") || !strings.Contains(table, "100         86        the whole file") {
		t.Errorf("the table is\n%s", table)
	}
	if text, err := got.JSON(); err != nil || !strings.Contains(text, `"name": "large"`) {
		t.Errorf("the JSON is (%v)\n%s", err, text)
	}
}

func TestImagesWhosePackagesCannotBeMeasured(t *testing.T) {
	arm64, err := platform.Parse("arm64")
	if err != nil {
		t.Fatal(err)
	}
	armv5, err := platform.Parse("armv5")
	if err != nil {
		t.Fatal(err)
	}
	plain, symbols := recipe.Default(), recipe.Default()
	plain.Compression, symbols.KeepSymbols = recipe.CompressionNone, true
	for _, c := range []struct {
		target platform.Target
		config recipe.Config
		want   string
	}{
		{arm64, recipe.Default(), ""}, {armv5, recipe.Default(), "want amd64 or arm64"},
		{arm64, plain, `compression "none"`}, {arm64, symbols, "without symbols"},
	} {
		err := CheckPackages(c.target, c.config)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("for %s: error %v; want %q", c.target, err, c.want)
		}
	}
}
