package main

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// defaults returns the module as in a call without options.
func defaults() *MikrotikTailscale {
	c := recipe.Default()
	return &MikrotikTailscale{
		AppletSource: "default", Compression: string(c.Compression), Certificates: string(c.Certificates), Revision: c.Revision,
	}
}

func TestAllMeansEveryPlatform(t *testing.T) {
	for _, given := range [][]string{nil, {"all"}, {"armv5", "all", "arm"}} {
		targets, _, err := defaults().planAll(given)
		if err != nil || len(targets) != len(platform.All()) {
			t.Errorf("platforms %q are %v (%v)", given, targets, err)
		}
	}
}

func TestAFunctionForOnePlatformRejectsAll(t *testing.T) {
	if _, _, err := defaults().product(t.Context(), "all"); err == nil || !strings.Contains(err.Error(), `unknown platform "all"`) {
		t.Errorf("error = %v; want an unknown platform", err)
	}
}

func TestTheReadmeLinksToFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{}
	for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(string(text), -1) {
		linked[link[1]] = true
		if _, err := os.Stat(path.Clean(link[1])); err != nil {
			t.Error(err)
		}
	}
	if !linked["LICENSE"] {
		t.Error("the license is missing")
	}
}

func TestBaseImagesAreChecked(t *testing.T) {
	for given, good := range map[string]bool{
		"": true, "debian:trixie-slim": true, "registry.example:5000/golang:1.26.8-trixie": true,
		"debian@sha256:" + strings.Repeat("0", 64): true,
		"Debian:trixie": false, "https://registry.example/debian": false, "debian:a b": false, "debian@sha256:1": false,
		"https://robot:s3cret@registry.example/debian": false,
	} {
		err := checkImage("Debian image", given)
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "malformed Debian image") {
			t.Errorf("%q: error = %v; want accepted: %v", given, err, good)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error contains the password: %v", err)
		}
	}
}
