package page_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/routeros/page"
	"dagger/mikrotik-tailscale/routeros/page/choices"
)

func stage(t *testing.T, c choices.Choices) recipe.Stage {
	t.Helper()
	s, err := page.Stage(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The stage compiles this program's packages without their tests, with the same modules.
func TestStage(t *testing.T) {
	whole, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	s := stage(t, nil)
	modules := 0
	for _, f := range s.Files {
		if strings.HasSuffix(f.Name, "_test.go") {
			t.Errorf("the stage has the test %s", f.Name)
		}
		if f.Name == "go.mod" {
			for required := range strings.Lines(f.Content) {
				module, ok := strings.CutPrefix(required, "require ")
				if !ok {
					continue
				}
				modules++
				if !strings.Contains(string(whole), "\t"+strings.TrimSpace(module)) {
					t.Errorf("go.mod has another version than the stage: %s", module)
				}
			}
		}
	}
	if modules == 0 {
		t.Error("the stage has no go.mod with modules")
	}
	for _, name := range []string{"routeros/templates/install.rsc", "routeros/page/program/main.go", "platform/platform.go", "recipe/address/address.go"} {
		if !slices.ContainsFunc(s.Files, func(f recipe.File) bool { return f.Name == name }) {
			t.Errorf("the stage lacks %s", name)
		}
	}
}

// Initial choices only change the last step, so that another page only takes seconds.
func TestChoicesChangeTheLastStep(t *testing.T) {
	usual, filled := stage(t, nil), stage(t, choices.Choices{"image": {"ghcr.io/me/tailscale:stable"}})
	last := len(usual.Steps) - 1
	if !reflect.DeepEqual(usual.Steps[:last], filled.Steps[:last]) || !reflect.DeepEqual(usual.Files, filled.Files) {
		t.Error("more than the last step differs")
	}
	if !slices.Contains(filled.Steps[last], "image=ghcr.io%2Fme%2Ftailscale%3Astable") {
		t.Errorf("the last step is %q", filled.Steps[last])
	}
}

func TestWrongChoices(t *testing.T) {
	if _, err := page.Stage(choices.Choices{"image": {"tailscale"}}); err == nil || !strings.Contains(err.Error(), `malformed image "tailscale"`) {
		t.Errorf("error %v", err)
	}
}
