package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/local"
)

func TestThePackagesAddUpToTheFile(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	stdout, stderr, code := call(t, "sizes", "--arch", "amd64", "--json")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, stderr)
	}
	report, err := size.Parse(stdout)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code = call(t, "sizes", "packages", "--arch", "amd64", "--json")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, stderr)
	}
	var program size.Program
	if err := json.Unmarshal([]byte(stdout), &program); err != nil {
		t.Fatal(err)
	}
	var packed, runtime int64
	for _, s := range slices.Concat(program.Packages, program.Rest) {
		packed += s.Packed
		if s.Name == "runtime" {
			runtime = s.Packed
		}
	}
	for _, c := range report.Platforms[0].Components {
		// The shares are rounded, and no LZMA stream ends at exactly its last bit.
		if c.Name == "tailscale" && (packed < c.Stored-1000 || packed > c.Stored+1000) {
			t.Errorf("the shares add up to %d bytes; the file has %d", packed, c.Stored)
		}
	}
	if runtime < 100_000 || runtime > 300_000 || len(program.Packages) < 300 {
		t.Errorf("there are %d packages, and Go's runtime takes %d bytes", len(program.Packages), runtime)
	}
}

func TestPackagesThatCannotBeMeasuredAreRejectedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"several platforms": {[]string{"--arch", "all"}, `platform "all" means several`},
		"another order":     {[]string{"--arch", "armv7"}, "want amd64 or arm64"},
		"not packed":        {[]string{"--compression", "none"}, `compression "none": want "launcher"`},
		"symbols":           {[]string{"--keep-symbols"}, "without --keep-symbols"},
		"an argument":       {[]string{"runtime"}, `unexpected argument "runtime"`},
	} {
		t.Run(name, func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "cache")
			stdout, stderr, code := call(t, append([]string{"sizes", "packages", "--cache-dir", cache}, c.args...)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, output %q; want the error %q:\n%s", code, stdout, c.want, stderr)
			}
			if _, err := os.Stat(cache); err == nil {
				t.Error("the cache was touched")
			}
		})
	}
}

func TestAMistypedCommandOfSizesNamesTheRightOne(t *testing.T) {
	const want = `unexpected argument "pakages": want only --flags, or the command packages`
	if _, stderr, code := call(t, "sizes", "pakages"); code != exitUsage || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d; want the error %q:\n%s", code, want, stderr)
	}
}
