package platform

import (
	"strings"
	"testing"
)

func TestParseKnowsEveryName(t *testing.T) {
	for want, names := range map[string][]string{
		"amd64": {"amd64", "x86", "AMD64", " x86_64 ", "chr", "linux/amd64"},
		"arm64": {"arm64", "aarch64", "linux/arm64", "linux/arm64/v8"},
		"arm":   {"arm", "armv7", "arm32v7", "armhf", "linux/arm", "linux/arm/v7"},
		"armv5": {"armv5", "arm32v5", "armel", "linux/arm/v5"},
	} {
		for _, name := range names {
			got, err := Parse(name)
			if err != nil || got.Name != want {
				t.Errorf("Parse(%q) = %s, %v; want %s", name, got, err, want)
			}
		}
	}
}

func TestAnUnknownNameIsAnErrorThatListsAllNames(t *testing.T) {
	for _, name := range []string{"", "mips", "armv6", "linux/arm/v6", "linux/arm64/v9", "windows/amd64", "all"} {
		_, err := Parse(name)
		if err == nil {
			t.Errorf("Parse(%q) returns no error", name)
			continue
		}
		for _, target := range All() {
			if !strings.Contains(err.Error(), target.Name) || !strings.Contains(err.Error(), target.Platform()) {
				t.Errorf("Parse(%q): the error does not name %s: %v", name, target, err)
			}
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, target := range All() {
		for _, name := range target.Names() {
			if other, ok := seen[name]; ok {
				t.Errorf("%q means %s and %s", name, other, target)
			}
			seen[name] = target.Name
		}
	}
	if len(All()) != 4 {
		t.Errorf("%d targets", len(All()))
	}
}

func TestParseAllReturnsEachPlatformOnce(t *testing.T) {
	for want, names := range map[string][]string{
		"":                      nil,
		"arm":                   {"arm", "linux/arm/v7", "ARM"},
		"armv5 amd64":           {"armv5", "amd64"},
		"amd64 arm64 arm armv5": {"all"},
		"arm amd64 arm64 armv5": {"arm", " All "},
	} {
		found, err := ParseAll(names)
		if err != nil {
			t.Errorf("ParseAll(%q): %v", names, err)
		}
		var got []string
		for _, target := range found {
			got = append(got, target.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("ParseAll(%q) = %v; want %s", names, got, want)
		}
	}
}

func TestTheErrorNamesEachUnknownNameOnce(t *testing.T) {
	found, err := ParseAll([]string{"arm", "mips", "every", "mips"})
	if err == nil || found != nil {
		t.Fatalf("ParseAll = %v, %v", found, err)
	}
	for _, want := range []string{`unknown platform "mips"`, `unknown platform "every"`, "; or all"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want it to contain %s", err, want)
		}
	}
	if n := strings.Count(err.Error(), `"mips"`); n != 1 {
		t.Errorf("the name that is wrong twice is in the error %d times: %v", n, err)
	}
}

func TestOfRouterFindsThePlatform(t *testing.T) {
	for _, c := range []struct{ architecture, board, model, want string }{
		{"arm64", "CRS418-8P-8G-2S+", "CRS418-8P-8G-2S+", "arm64"},
		{"x86", "CHR", "", "amd64"},
		{"x86_64", "x86", "", "amd64"},
		{"arm", "hAP ac^2", "RBD52G-5HacD2HnD", "arm"},
		{"arm", "hAP ax lite", "L41G-2axD", "arm"},
		{"arm", "hEX", "E50UG", "armv5"},
		{"arm", "hEX S", "", "armv5"},
		{"arm", "somebody's name", "E60iUGS", "armv5"},
		{"arm", "", "E62iUGS-2axD5axT", "armv5"},
		{"arm64", "hEX", "", "arm64"},
	} {
		if got, err := OfRouter(c.architecture, c.board, c.model); err != nil || got.Name != c.want {
			t.Errorf("%+v is %s (%v)", c, got, err)
		}
	}
	// The hEX before the hEX refresh.
	if _, err := OfRouter("mmips", "hEX", "RB750Gr3"); err == nil || err.Error() != `RouterOS has no containers on the architecture "mmips": want x86, arm64, arm` {
		t.Errorf("error = %v", err)
	}
}
