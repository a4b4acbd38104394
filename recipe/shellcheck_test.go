package recipe_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func TestTheImagesScriptsHaveNoMistakes(t *testing.T) {
	paths, err := filepath.Glob("files/*.sh")
	if err != nil || len(paths) != 2 {
		t.Fatalf("the image's scripts are %q: %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		testtools.Shellcheck(t, path, string(text))
	}
	// The scripts in the image have no comments.
	for _, e := range (recipe.Plan{Target: native(t), Config: validConfig(t)}).Entries() {
		if strings.HasPrefix(e.Text, "#!") {
			testtools.Shellcheck(t, e.Path, e.Text)
		}
	}
}

func TestTheScriptsOfStagesHaveNoMistakes(t *testing.T) {
	scripts := map[string]string{} // with the stage that runs each
	for _, s := range allStages(t) {
		for _, step := range s.Steps {
			for i, word := range step {
				if word == "-euc" { // a script may call another one
					scripts[step[i+1]] = s.Title()
				}
			}
		}
	}
	if len(scripts) < 8 {
		t.Fatalf("%d scripts", len(scripts))
	}
	for script, stage := range scripts {
		testtools.Shellcheck(t, stage, "set -eu\n"+script)
	}
}

// allStages returns the stages of images, with every choice that adds a stage or a step.
func allStages(t *testing.T) []recipe.Stage {
	t.Helper()
	var all []recipe.Stage
	seen := map[string]bool{}
	var add func(recipe.Stage)
	add = func(s recipe.Stage) {
		for _, i := range s.Inputs {
			if i.Stage != nil {
				add(*i.Stage)
			}
		}
		var text strings.Builder
		for _, step := range s.Steps {
			text.WriteString(strings.Join(step, "\x00"))
		}
		if !seen[s.Title()+text.String()] {
			seen[s.Title()+text.String()] = true
			all = append(all, s, recipe.Installed(s))
		}
	}
	for _, target := range platform.All() {
		for _, compression := range recipe.Compressions() {
			for _, certificates := range recipe.CertificatePlaces() {
				for _, plain := range []bool{false, true} {
					c := validConfig(t)
					c.Compression, c.Certificates, c.KeepSymbols, c.StockRuntime = compression, certificates, plain, plain
					add(recipe.ResolveFeatures(c))
					for _, e := range (recipe.Plan{Target: target, Config: c}).Entries() {
						if e.Stage != nil {
							add(*e.Stage)
						}
					}
				}
			}
		}
	}
	return all
}
