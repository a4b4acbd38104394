package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// shellOf returns the unpacked shell of the default image, a program to pack that needs no compiling.
func shellOf(t *testing.T, arch string) string {
	t.Helper()
	testtools.Require(t, local.Tools()...)
	target, err := platform.Parse(arch)
	if err != nil {
		t.Fatal(err)
	}
	c := recipe.Default()
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	d, err := local.Open(t.Context(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	path, err := d.Output(t.Context(), recipe.Busybox(target, c))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "busybox")
	if err := os.WriteFile(program, []byte(read(t, path)), 0o644); err != nil {
		t.Fatal(err)
	}
	return program
}

// A packed program is executable, even if the given file was not.
func TestCompress(t *testing.T) {
	program := shellOf(t, "amd64")
	for _, compression := range recipe.Compressions() {
		t.Run(string(compression), func(t *testing.T) {
			packed := filepath.Join(t.TempDir(), "new", "directory", "shell")
			stdout, stderr, code := call(t, "compress", "--arch", "amd64", "--binary", program, "--output", packed, "--compression", string(compression), "--json")
			if code != 0 {
				t.Fatalf("exit code %d:\n%s", code, stderr)
			}
			var reported struct {
				Platform, Path, SHA256 string
				Size                   int64
			}
			if err := json.Unmarshal([]byte(stdout), &reported); err != nil {
				t.Fatal(err)
			}
			if sum := strings.Fields(tool(t, "sha256sum", packed))[0]; reported.Path != packed || reported.SHA256 != sum || reported.Size != int64(len(read(t, packed))) || reported.Platform != "amd64" {
				t.Errorf("reported: %+v; the sum is %s", reported, sum)
			}
			before := int64(len(read(t, program)))
			if smaller := reported.Size < before*2/3; smaller != (compression != recipe.CompressionNone) {
				t.Errorf("%d bytes became %d", before, reported.Size)
			}
			cmd := exec.CommandContext(t.Context(), packed, "echo", "hello from", string(compression))
			cmd.Args[0] = "busybox"
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != "hello from "+string(compression)+"\n" {
				t.Errorf("the packed shell prints %q (%v)", out, err)
			}
		})
	}
}

func TestWrongCallsOfCompress(t *testing.T) {
	program := shellOf(t, "arm")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no platform":           {[]string{"--binary", program, "--output", "x"}, "no platform: want --arch"},
		"all platforms":         {[]string{"--arch", "all", "--binary", program, "--output", "x"}, `platform "all" means several: want --arch with one of amd64`},
		"unknown platform":      {[]string{"--arch", "mips", "--binary", program, "--output", "x"}, `unknown platform "mips"`},
		"no program":            {[]string{"--arch", "arm", "--output", "x"}, "want --binary with the program"},
		"no output":             {[]string{"--arch", "arm", "--binary", program}, "--output with the file to write"},
		"missing program":       {[]string{"--arch", "arm", "--binary", "absent", "--output", "x"}, "absent: no such file"},
		"not a program":         {[]string{"--arch", "arm", "--binary", text, "--output", "x"}, text},
		"another machine's":     {[]string{"--arch", "arm64", "--binary", program, "--output", "x"}, program},
		"unknown compression":   {[]string{"--arch", "arm", "--binary", program, "--output", "x", "--compression", "zip"}, `unknown compression "zip"`},
		"output is a directory": {[]string{"--arch", "arm", "--binary", program, "--output", os.TempDir()}, "output " + os.TempDir() + " is not a file"},
		"output in a file":      {[]string{"--arch", "arm", "--binary", program, "--output", text + "/x"}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(emptyDir(t))
			cache := filepath.Join(t.TempDir(), "cache")
			stdout, stderr, code := call(t, append([]string{"compress", "--cache-dir", cache}, c.args...)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, standard output %q; the error does not contain %q:\n%s", code, stdout, c.want, stderr)
			}
			if _, err := os.Stat(cache); err == nil {
				t.Error("the cache was touched")
			}
		})
	}
}
