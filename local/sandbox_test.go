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
			root, unlock, err := d.root(t.Context(), s.Packages)
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

// Each of these options hides something of this machine from the steps. Without --clearenv, the host's environment would
// affect the outputs of stages.
func TestTheSandboxLeavesOutTheMachine(t *testing.T) {
	s := newSandbox("/debian")
	got := strings.Join(s.command([]string{"true", "--"}).argv, " ")
	want := "bwrap --unshare-user --uid 0 --gid 0 --cap-drop ALL --unshare-pid --unshare-ipc --unshare-uts --die-with-parent --new-session --clearenv" +
		" --ro-bind /debian / --dev /dev --proc /proc --remount-ro /proc --chdir /build" +
		" --setenv PATH /usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --setenv HOME /tmp --setenv LC_ALL C.UTF-8 -- true --"
	if got != want {
		t.Errorf("the sandbox is\n%s\nwant\n%s", got, want)
	}
}

func TestStepsDoNotSeeTheMachinesEnvironment(t *testing.T) {
	t.Setenv("OF_THE_MACHINE", "s3cret")
	d, _ := open(t, Options{})
	path, err := d.Output(t.Context(), stage("environment", "env >/out/out"))
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, path)
	if strings.Contains(got, "OF_THE_MACHINE") || strings.Contains(got, "s3cret") || !strings.Contains(got, "LC_ALL=C.UTF-8") {
		t.Errorf("a step's environment is\n%s", got)
	}
}

// Passwords reach bubblewrap through a pipe, which other users of the machine can't read.
func TestSecretsAreInNoArguments(t *testing.T) {
	s := newSandbox("/debian")
	s.secret("GOPROXY", "https://me:s3cret@proxy.example")
	s.secret("EMPTY", "")
	c := s.command([]string{"true"})
	if strings.Contains(strings.Join(c.argv, " "), "s3cret") || c.third != "--setenv\x00GOPROXY\x00https://me:s3cret@proxy.example\x00" ||
		!strings.Contains(strings.Join(c.argv, " "), "--args 3 -- true") {
		t.Errorf("arguments are %q, and the pipe has %q", c.argv, c.third)
	}
	if hidden := c.hide("failed: https://me:s3cret@proxy.example/x"); strings.Contains(hidden, "s3cret") {
		t.Errorf("an error would be %q", hidden)
	}
}
