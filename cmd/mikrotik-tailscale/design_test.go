package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
)

// docs/design.md gives a reason for each feature that is left out, and for no other feature.
func TestTheDesignExplainsWhyFeaturesAreLeftOut(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	var out, log bytes.Buffer
	if code := run(t.Context(), []string{"features", "--json"}, &out, &log); code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, out.String(), log.String())
	}
	var list struct {
		Features []struct {
			Name  string
			Built bool
		}
	}
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| left out | why |\n|---|---|\n")
	table, _, found := strings.Cut(table, "\n\n")
	if !found {
		t.Fatal("docs/design.md has no table of the features that are left out")
	}
	reported := map[string]bool{}
	for row := range strings.Lines(table) {
		for _, name := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
			reported[name[1]] = true
		}
	}
	for _, f := range list.Features {
		switch {
		case !f.Built && !reported[f.Name]:
			t.Errorf("docs/design.md does not say why %s is left out", f.Name)
		case f.Built && reported[f.Name]:
			t.Errorf("docs/design.md says why %s is left out, but it is not", f.Name)
		}
		delete(reported, f.Name)
	}
	for name := range reported {
		t.Errorf("docs/design.md lists the feature %s, which does not exist", name)
	}
}
