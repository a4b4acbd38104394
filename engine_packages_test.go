package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// The engine's base image contains updates of the Debian release. If libc6 is newer than in the release, apt must
// downgrade it before libc6-dev can be installed. The test runs the engine's own script in such a root, without an
// engine.
func TestPackagesOfTheReleaseWinOverNewerOnes(t *testing.T) {
	testmode.Long(t)
	testtools.Require(t, local.Tools()...)
	if os.Geteuid() != 0 {
		t.Skip("not run: installing packages in a root needs root")
	}
	root := filepath.Join(t.TempDir(), "root")
	command(t, "mmdebstrap", "--variant=apt", recipe.DebianSuite, root, recipe.DebianArchive)
	status := filepath.Join(root, "var/lib/dpkg/status")
	update(t, status)
	target, err := platform.Parse("amd64")
	if err != nil {
		t.Fatal(err)
	}
	packages := recipe.Musl(target, recipe.Default()).Packages
	for _, p := range []recipe.Packages{*packages.Base, packages} {
		if out, err := inRoot(t, root, installPackages(p)); err != nil {
			t.Fatalf("%s: %v\n%s", p.Set, err, out)
		}
	}
	if newer := contents(t, status); strings.Contains(newer, suffix) {
		t.Error("a package is still newer than in the release")
	}
	if origin := contents(t, filepath.Join(root, recipe.OriginFile)); !strings.Contains(origin, recipe.DebianSnapshot) {
		t.Errorf("the recorded origin is %q", origin)
	}
	if out, err := inRoot(t, root, recipe.CheckPackages(packages)); err != nil {
		t.Errorf("the installed packages differ from the lock file: %v\n%s", err, out)
	}
}

// suffix makes a version newer.
const suffix = "+security1"

// update changes a dpkg database as if the C library had been updated.
func update(t *testing.T, status string) {
	t.Helper()
	paragraphs := strings.Split(contents(t, status), "\n\n")
	version := regexp.MustCompile(`(?m)^Version: (.*)$`)
	changed := 0
	for i, p := range paragraphs {
		if strings.HasPrefix(p, "Package: libc6\n") || strings.HasPrefix(p, "Package: libc-bin\n") {
			old := version.FindStringSubmatch(p)[1]
			for j := range paragraphs {
				paragraphs[j] = strings.ReplaceAll(paragraphs[j], fmt.Sprintf("(= %s)", old), fmt.Sprintf("(= %s)", old+suffix))
			}
			paragraphs[i] = version.ReplaceAllString(paragraphs[i], "Version: "+old+suffix)
			changed++
		}
	}
	if changed != 2 {
		t.Fatalf("%d packages were changed", changed)
	}
	if err := os.WriteFile(status, []byte(strings.Join(paragraphs, "\n\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inRoot runs a step as the engine does: as root, with the network.
func inRoot(t *testing.T, root string, step []string) (string, error) {
	t.Helper()
	resolver, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	sandbox := []string{"bwrap", "--bind", root, "/", "--dev", "/dev", "--proc", "/proc",
		"--ro-bind", resolver, "/etc/resolv.conf", "--unsetenv", recipe.DebianMirrorVariable,
		"--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin", "--setenv", "LC_ALL", "C.UTF-8"}
	// bubblewrap drops all capabilities of root unless told otherwise.
	sandbox = append(sandbox, "--cap-add", "ALL", "--")
	out, err := exec.CommandContext(t.Context(), sandbox[0], append(sandbox[1:], step...)...).CombinedOutput()
	return string(out), err
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, lastLines(string(out), 20))
	}
}
