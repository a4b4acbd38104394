package recipe

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
)

var update = flag.Bool("update", false, "write testdata/stages.txt again")

// A file has the stages of a default build for two platforms, so that a review shows every change of a flag, package or
// step. It has the names of the stages' files, but not their content, and no versions of packages. After a change: go test -short -run TestStagesAreAsTheyWere ./recipe -update
func TestStagesAreAsTheyWere(t *testing.T) {
	var b strings.Builder
	seen := map[string]bool{}
	var add func(Stage)
	add = func(s Stage) {
		for _, i := range s.Inputs {
			add(*i.Stage)
		}
		if seen[s.Title()] {
			return
		}
		seen[s.Title()] = true
		fmt.Fprintf(&b, "== %s\nbase %s, network %v\npackages %s\n", s.Title(), s.Base, s.Network, strings.Join(s.Packages.Names, " "))
		for _, v := range s.Env {
			fmt.Fprintf(&b, "env %s=%s\n", v.Name, v.Value)
		}
		for _, f := range s.Files {
			fmt.Fprintf(&b, "file %s\n", f.Name)
		}
		for _, i := range s.Inputs {
			fmt.Fprintf(&b, "input %s from %s\n", i.Name, i.Stage.Title())
		}
		for _, step := range s.Steps {
			fmt.Fprintf(&b, "step %q\n", step)
		}
		fmt.Fprintf(&b, "output %s\n", s.Output)
	}
	c := config(t, nil)
	resolved := Resolved{Tags: "TAGS", Go: "1.26.8", Features: Features()}
	add(ResolveFeatures(c))
	for _, target := range []platform.Target{platform.All()[0], platform.All()[3]} {
		plan := Plan{Target: target, Config: c, Resolved: resolved}
		for _, e := range plan.Entries() {
			if e.Stage != nil {
				add(*e.Stage)
			} else {
				fmt.Fprintf(&b, "entry %s -> %q text %q executable %v\n", e.Path, e.Link, e.Text, e.Executable)
			}
		}
		if s, ok := plan.Symbols(); ok {
			add(s)
		}
	}
	add(Certificates())
	const path = "testdata/stages.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, kept := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(kept)) {
		a, b := "", ""
		if i < len(got) {
			a = got[i]
		}
		if i < len(kept) {
			b = kept[i]
		}
		if a != b {
			t.Fatalf("%s differs in line %d, which would be\n%s\nand was\n%s", path, i+1, a, b)
		}
	}
}
