package local

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/recipe"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A stage runs again if and only if the content of the user's file has changed, whatever the file's name.
func TestAStageReadsTheUsersFile(t *testing.T) {
	d, seen := open(t, Options{})
	made := stage("made", "echo made >/out/out")
	s := stage("takes", "cat /in/made /in/mine >/out/out", recipe.Input{Name: "made", Stage: &made}, recipe.Input{Name: "mine"})
	dir := t.TempDir()
	for i, c := range []struct {
		file, text string
		runs       int
	}{
		{"a", "first\n", 1},
		{"b", "first\n", 1},
		{"a", "second\n", 2},
		{"a", "first\n", 2},
	} {
		path := filepath.Join(dir, c.file)
		write(t, path, c.text)
		out, err := d.OutputWith(t.Context(), s, map[string]string{"mine": path})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := read(t, out), "made\n"+c.text; got != want {
			t.Errorf("call %d: output = %q; want %q", i, got, want)
		}
		ran := seen.ended(Done)
		if n := len(slices.DeleteFunc(ran, func(title string) bool { return title != "takes" })); n != c.runs {
			t.Errorf("call %d: the stage has run %d times; want %d", i, n, c.runs)
		}
	}
}

func TestAMissingInputFileIsAnError(t *testing.T) {
	d, seen := open(t, Options{})
	s := stage("takes", "cp /in/mine /out/out", recipe.Input{Name: "mine"})
	nested := stage("nested", "cp /in/deep /out/out", recipe.Input{Name: "deep", Stage: &s})
	absent := filepath.Join(t.TempDir(), "absent")
	for name, c := range map[string]struct {
		stage recipe.Stage
		files map[string]string
		want  string
	}{
		"no file":                {s, nil, "takes: the input mine needs a file"},
		"a file of another name": {s, map[string]string{"yours": absent}, "takes: the input mine needs a file"},
		"no file further down":   {nested, nil, "takes: the input mine needs a file"},
		"an absent file":         {s, map[string]string{"mine": absent}, absent + ": no such file"},
		"a directory":            {s, map[string]string{"mine": t.TempDir()}, "takes: reading the input mine: "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := d.OutputWith(t.Context(), c.stage, c.files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to say %q", err, c.want)
			}
		})
	}
	if ran := seen.ended(Started); len(ran) > 0 {
		t.Errorf("stages ran: %v", ran)
	}
}
