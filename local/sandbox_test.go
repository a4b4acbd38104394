package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/recipe"
)

// Steps run other projects' Makefiles. All later builds use the same root and the same inputs.
func TestStepsCannotLeaveTheSandboxNorChangeTheCache(t *testing.T) {
	d, _ := open(t, Options{})
	input := stage("input", "echo input >/out/out")
	inputPath, err := d.Output(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "attack")
	build := exec.Command("go", "build", "-o", program, "./testdata/attack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	attack := stage("attack", "/in/attack >/out/out")
	attack.Base = recipe.BaseGo
	attack.Env = []recipe.Variable{{Name: "GOTOOLCHAIN", Value: "go" + recipe.GoVersion}}
	for name, network := range map[string]bool{"without the network": false, "with the network": true} {
		t.Run(name, func(t *testing.T) {
			s := attack
			s.Network = network
			root, unlock, err := d.root(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			defer unlock()
			path, err := d.run(t.Context(), s, name, root, map[string]string{"input": inputPath, "attack": program})
			if err != nil {
				t.Fatal(err)
			}
			tried := 0
			for line := range strings.Lines(read(t, path)) {
				t.Log(strings.TrimSpace(line))
				tried++
				if !strings.Contains(line, ": refused: ") {
					t.Errorf("%s", strings.TrimSpace(line))
				}
			}
			if tried < 30 {
				t.Errorf("%d attempts were made", tried)
			}
			for _, dir := range []string{root, filepath.Join(d.Cache, "blobs")} {
				_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
					if err == nil && (e.Name() == "attacked" || e.Type()&os.ModeDevice != 0) {
						t.Errorf("the attack left %s", path)
						_ = os.Remove(path)
					}
					return nil
				})
			}
			if got := read(t, inputPath); got != "input\n" {
				t.Errorf("the input is now %q", got)
			}
		})
	}
}
