package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros/page/choices"
)

// Every new option needs a field.
func TestEveryOptionHasAField(t *testing.T) {
	var fields []string
	for _, s := range sections {
		for _, f := range slices.Concat(s.Fields, s.More) {
			fields = append(fields, f.Name)
			if f.Label == "" || f.Help == "" {
				t.Errorf("the field %s has no label or no help", f.Name)
			}
		}
	}
	want := choices.Names()
	slices.Sort(fields)
	slices.Sort(want)
	if !slices.Equal(fields, want) {
		t.Errorf("the form has the fields\n%q\nand the options are\n%q", fields, want)
	}
}

// The form starts with the given choices.
func TestTheFormIsFilledIn(t *testing.T) {
	form, err := formOf(choices.Choices{
		"image": {`ghcr.io/me/"x":stable`}, "subnet": {"10.0.0.0/8", "192.168.88.0/24"}, "firewall": {"true"}, "memory": {"128"},
		"root": {"memory"}, "arch": {"armv5"}, "script": {"app"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`value="ghcr.io/me/&#34;x&#34;:stable"`, "\n10.0.0.0/8\n192.168.88.0/24\n</textarea>", `name="firewall" aria-describedby="firewall-help firewall-error" checked`,
		`name="memory" value="128"`, `name="root" value="memory" checked`, `<option value="armv5" selected>`, `name="script" value="app" checked`,
	} {
		if !strings.Contains(form, want) {
			t.Errorf("the form has no %s", want)
		}
	}
	if _, err := formOf(choices.Choices{"memory": {"x"}}); err == nil {
		t.Error("a form with a number that is none")
	}
}

// Boards that need another image than their architecture suggests are the same as in package platform.
func TestBoardsHaveTheirPlatform(t *testing.T) {
	all, err := boards()
	if err != nil || len(all) < 100 {
		t.Fatalf("%d boards (%v)", len(all), err)
	}
	seen := map[string]int{}
	for _, b := range all {
		seen[b.Platform]++
		if b.Platform == noContainers || b.Platform == notSure {
			continue
		}
		target, err := platform.Parse(b.Platform)
		if err != nil {
			t.Errorf("%s: %v", b.Name, err)
			continue
		}
		if found, err := platform.OfRouter(target.RouterOS, b.Name, b.Code); err != nil || found.Name != target.Name {
			t.Errorf("%s (%s) is %s here; a router of this name gets the image for %s (%v)", b.Name, b.Code, target, found, err)
		}
	}
	for _, p := range platform.All() {
		if seen[p.Name] == 0 {
			t.Errorf("there is no board for %s", p)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	dir := t.TempDir()
	file, output := filepath.Join(dir, "file"), filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte("</script>"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, arguments := range map[string][]string{
		"1 arguments: want":           {file},
		"reading the program":         {filepath.Join(dir, "none"), file, "", output},
		"reading Go's support":        {file, filepath.Join(dir, "none"), "", output},
		"reading the choices":         {file, file, "a=%x", output},
		"the scripts would end in":    {file, file, "", output},
		`memory is "x": want a whole`: {file, file, "memory=x", output},
	} {
		if err := write(arguments); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
	if _, err := os.Stat(output); err == nil {
		t.Error("something is written in spite of an error")
	}
}
