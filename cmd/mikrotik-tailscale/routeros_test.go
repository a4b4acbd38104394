package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestScriptsForARouter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "scripts")
	args := []string{"routeros", "--name", "ts", "--image", "ghcr.io/me/tailscale:stable", "--subnet", "192.168.88.0/24,10.0.0.0/8", "--disk", "usb1"}
	stdout, stderr, code := call(t, append(args, "--output", dir)...)
	if code != 0 || !strings.Contains(stdout, "/import ts-install.rsc") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Fatalf("written: %v (%v)", entries, err)
	}
	for _, kind := range []string{"install", "update", "remove", "diagnose"} {
		text, err := os.ReadFile(filepath.Join(dir, "ts-"+kind+".rsc"))
		if err != nil {
			t.Fatal(err)
		}
		printed, _, code := call(t, append(args, "--script", kind)...)
		if code != 0 || printed != string(text) {
			t.Errorf("%s: the printed script differs from the written one:\n%s", kind, printed)
		}
		if kind == "install" && !strings.Contains(printed, `key=TS_ROUTES value="192.168.88.0/24,10.0.0.0/8"`) {
			t.Errorf("the subnets are missing:\n%s", printed)
		}
	}
	again, _, _ := call(t, append(args, "--output", dir, "--json")...)
	var report struct {
		Scripts []struct{ Script, Name, Path string }
	}
	if err := json.Unmarshal([]byte(again), &report); err != nil || len(report.Scripts) != 4 || report.Scripts[1].Path != filepath.Join(dir, "ts-update.rsc") {
		t.Errorf("--json prints %s (%v)", again, err)
	}
}

// The start script exists if there is something to do at each boot.
func TestTheStartScript(t *testing.T) {
	printed, stderr, code := call(t, "routeros", "--image", "ghcr.io/me/tailscale:stable", "--root", "memory", "--disk", "flash", "--script", "start")
	if code != 0 || !strings.Contains(printed, "/import flash/tailscale-start.rsc") {
		t.Errorf("exit code %d: %s%s", code, printed, stderr)
	}
}

func TestAnAppForARouter(t *testing.T) {
	args := []string{"routeros", "--image", "ghcr.io/me/tailscale:stable"}
	app, stderr, code := call(t, append(args, "--subnet", "192.168.88.0/24", "--script", "app")...)
	if code != 0 || !strings.Contains(app, "name: tailscale\n") || !strings.Contains(app, "TS_ROUTES: 192.168.88.0/24\n") {
		t.Errorf("exit code %d: %s%s", code, app, stderr)
	}
	dir := filepath.Join(t.TempDir(), "app")
	stdout, stderr, code := call(t, append(args, "--script", "app", "--site", "home=192.168.88.0/24", "--site", "office=192.168.89.0/24", "--output", dir)...)
	if code != 0 || !strings.Contains(stdout, "/app/settings/set app-store-urls=URL") || !strings.Contains(stdout, "/import tailscale-home-app-setup.rsc") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	written, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(written) != 5 {
		t.Errorf("written: %q (%v)", written, err)
	}
}

func TestWrongScriptOptionsAreRejected(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	image := []string{"routeros", "--image", "ghcr.io/me/tailscale:stable"}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"no image":        {[]string{"routeros"}, []string{"neither an image nor a tarball"}},
		"several":         {append(image, "--name", "X", "--subnet", "x"), []string{`"X"`, `"x"`}},
		"no start script": {append(image, "--script", "start"), []string{"no start script with --root disk: want --root memory"}},
		"several setups":  {append(image, "--script", "app-setup", "--site", "a=", "--site", "b="), []string{"each of the 2 sites has an app-setup script: want --output"}},
		"site, no app":    {append(image, "--site", "home="), []string{"want --script app with --site home="}},
		"malformed site":  {append(image, "--script", "app", "--site", "home"), []string{`malformed site "home"`}},
		"app with a disk": {append(image, "--script", "app", "--disk", "usb1"), []string{"an app has no disk"}},
		"unknown root":    {append(image, "--root", "ram"), []string{`unknown root "ram"`}},
		"unknown script":  {append(image, "--script", "all"), []string{`unknown script "all"`, "install, update, remove"}},
		"output a file":   {append(image, "--output", file), []string{file, "not a directory"}},
		"output in /proc": {append(image, "--output", "/proc/x"), []string{"output directory /proc/x can't be written"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(emptyDir(t))
			stdout, stderr, code := call(t, c.args...)
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d, standard output %q", code, stdout)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("error does not say %q:\n%s", want, stderr)
				}
			}
		})
	}
}

func TestAFullDiskLeavesNoScript(t *testing.T) {
	dir := mountTmpfs(t, "")
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 254<<10), 0o666); err != nil && !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Fatal(err)
	}
	_, stderr, code := call(t, "routeros", "--image", "ghcr.io/me/tailscale:stable", "--output", dir)
	if code != exitFailure || !strings.Contains(stderr, "no space left on device") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
