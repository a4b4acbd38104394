package attest

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"testing"
)

// The linker's information about a module may name its replacement.
func TestTheModulesOfAProgram(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "golang.org/x/net", Version: "v0.50.0", Sum: "h1:abc="},
		{Path: "github.com/old/one", Version: "v1.0.0", Sum: "h1:old=", Replace: &debug.Module{Path: "github.com/new/one", Version: "v1.0.1", Sum: "h1:new="}},
		{Path: "github.com/without/sum", Version: "v2.0.0"},
		{Path: "github.com/changed/copy", Version: "v3.0.0", Replace: &debug.Module{Path: "../copy", Version: "(devel)"}},
	}}
	var got []string
	for _, c := range goModules(info) {
		line := fmt.Sprintf("%s %s %s %s %s", c.BOMRef, c.Type, c.Name, c.Version, c.PackageURL)
		if c.Properties != nil {
			line += fmt.Sprint(" ", *c.Properties)
		}
		got = append(got, line)
	}
	want := []string{
		"pkg:golang/std@1.26.8 library std 1.26.8 pkg:golang/std@1.26.8",
		"pkg:golang/golang.org/x/net@v0.50.0 library golang.org/x/net v0.50.0 pkg:golang/golang.org/x/net@v0.50.0 [{go:sum h1:abc=}]",
		"pkg:golang/github.com/new/one@v1.0.1 library github.com/new/one v1.0.1 pkg:golang/github.com/new/one@v1.0.1 [{go:sum h1:new=}]",
		"pkg:golang/github.com/without/sum@v2.0.0 library github.com/without/sum v2.0.0 pkg:golang/github.com/without/sum@v2.0.0",
		"pkg:golang/github.com/changed/copy@v3.0.0 library github.com/changed/copy v3.0.0 pkg:golang/github.com/changed/copy@v3.0.0",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("modules are %q; want %q", got, want)
	}
}
