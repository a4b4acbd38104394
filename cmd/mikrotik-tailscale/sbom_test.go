package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/platform"
)

// The command prints the same SBOM that a build of all platforms writes.
func TestSBOM(t *testing.T) {
	buildAllPlatforms(t)
	for _, target := range platform.All() {
		want := read(t, filepath.Join("dist", attest.SBOMName(target)))
		stdout, stderr, code := call(t, "sbom", "--arch", target.Name)
		if code != 0 || stdout != want {
			t.Errorf("%s: exit code %d, another SBOM than the build's:\n%s", target, code, stderr)
		}
		file := filepath.Join("new", target.Name)
		stdout, stderr, code = call(t, "sbom", "--arch", target.Name, "--output", file)
		if code != 0 || !strings.HasPrefix(stdout, file+": ") || read(t, file) != want {
			t.Errorf("%s: exit code %d, standard output %q\n%s", target, code, stdout, stderr)
		}
	}
}

func TestWrongCallsOfSBOM(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no platform":           {nil, "no platform: want --arch with one of amd64"},
		"all platforms":         {[]string{"--arch", "all"}, `platform "all" means several: want --arch with one of amd64`},
		"unknown platform":      {[]string{"--arch", "mips"}, `unknown platform "mips"`},
		"malformed version":     {[]string{"--arch", "arm", "--tailscale-version", "latest"}, `malformed Tailscale version "latest"`},
		"output is a directory": {[]string{"--arch", "arm", "--output", os.TempDir()}, "output " + os.TempDir() + " is not a file"},
		"output in /proc":       {[]string{"--arch", "arm", "--output", "/proc/x/y"}, "output directory /proc/x can't be written"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(emptyDir(t))
			cache := filepath.Join(t.TempDir(), "cache")
			stdout, stderr, code := call(t, append([]string{"sbom", "--cache-dir", cache}, c.args...)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, standard output %q; the error does not contain %q:\n%s", code, stdout, c.want, stderr)
			}
			if _, err := os.Stat(cache); err == nil {
				t.Error("the cache was touched")
			}
		})
	}
}
