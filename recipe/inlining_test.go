package recipe_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/recipe"
)

// All functions of the runtime get the line that forbids to inline them, except for some. Nothing else changes, and no
// function moves to another line. A file that the overlay already replaces is changed once more.
func TestOnlySomeFunctionsOfTheRuntimeAreInlined(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "src/runtime") + "/"
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "changed-before.go", "package runtime\n\nfunc changed() {\n}\n")
	write(t, "overlay.json", `{"Replace": {"`+source+`mspanset.go": "`+dir+`/changed-before.go"}}`+"\n")
	// A function that isn't there.
	step := append(stepWith(t, runtime.GOARCH, "noinline"), "neverThere")
	for i := range step {
		step[i] = strings.ReplaceAll(step[i], recipe.NotesFile, dir+"/notes")
		step[i] = strings.ReplaceAll(step[i], recipe.BuildDir+"/", dir+"/")
	}
	if printed, err := exec.CommandContext(t.Context(), step[0], step[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	if got, want := string(read(t, "notes")), "the runtime has no function neverThere to inline\n"; got != want {
		t.Errorf("told the user %q, want %q", got, want)
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(read(t, "overlay.json"), &overlay); err != nil {
		t.Fatal(err)
	}
	if got, want := string(read(t, overlay.Replace[source+"mspanset.go"])), "package runtime\n//go:noinline\nfunc changed() {\n}\n"; got != want {
		t.Errorf("the file that was changed before is %q, want %q", got, want)
	}
	delete(overlay.Replace, source+"mspanset.go")
	if len(overlay.Replace) < 100 {
		t.Errorf("only %d files are replaced", len(overlay.Replace))
	}
	forbidden := map[string]bool{}
	function := regexp.MustCompile(`^func (?:\(\w* ?\*?(\w+)(?:\[\w+\])?\) )?(\w+).*[{}]$`)
	for original, replacement := range overlay.Replace {
		was, is := strings.Split(string(read(t, original)), "\n"), strings.Split(string(read(t, replacement)), "\n")
		if len(was) != len(is) {
			t.Fatalf("%s has %d lines, and had %d", original, len(is), len(was))
		}
		pending := false
		for i := range is {
			if is[i] != was[i] {
				if was[i] != "" || is[i] != "//go:noinline" || pending {
					t.Errorf("%s, line %d: %q became %q", original, i+1, was[i], is[i])
				}
				pending = true
			}
			if m := function.FindStringSubmatch(is[i]); m != nil {
				forbidden[strings.TrimPrefix(m[1]+"."+m[2], ".")] = pending
				pending = false
			}
		}
		if pending {
			t.Errorf("%s: no function follows the last changed line", original)
		}
	}
	for name, want := range map[string]bool{
		"lock": false, "unlock": false, "waitq.dequeue": false, "puintptr.ptr": false, "acquirem": false,
		"lock2": true, "newstack": true, "waitq.dequeueSudoG": true, "mallocgc": true, "hchan.raceaddr": true,
	} {
		if got, ok := forbidden[name]; !ok || got != want {
			t.Errorf("forbidden to inline %s: %v, want %v (found: %v)", name, got, want, ok)
		}
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
