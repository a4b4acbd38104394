package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
)

// A killed build can't clean up. But while it makes a Debian root, /proc and /sys are mounted in there. If they stayed
// mounted, somebody who removes the leftovers as root would remove files of the running system.
func TestAKilledBuildLeavesNoMounts(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	if os.Geteuid() != 0 {
		t.Skip("mmdebstrap mounts nothing outside of a user namespace unless it runs as root")
	}
	cache, tmp := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "build", "--arch", "arm", "--cache-dir", cache, "--output", filepath.Join(emptyDir(t), "x.tar"))
	cmd.Env = append(os.Environ(), asCommand+"=1", "TMPDIR="+tmp)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !mounted("/proc/[0-9]*/mounts", cache, tmp) {
		select {
		case err := <-ended:
			t.Fatalf("the build ended before it mounted anything: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if mounted("/proc/self/mounts", cache, tmp) {
		// Otherwise, the test's own cleanup would reach into them.
		out, err := exec.Command("sh", "-c", `awk '{ print $2 }' /proc/self/mounts | grep -e "^$1/" -e "^$2/" | sort -r | xargs umount --lazy`, "sh", cache, tmp).CombinedOutput()
		t.Fatalf("a killed build leaves mounts on this machine (unmounted: %v %s)", err, out)
	}
	for mounted("/proc/[0-9]*/mounts", cache, tmp) { // until the killed build's programs have ended
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left behind in the directory for temporary files: %v", left)
	}
	if _, stderr, code := call(t, "clean", "--cache-dir", cache); code != 0 {
		t.Errorf("clean: exit code %d: %s", code, stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "tmp", "run-*")); len(left) > 0 {
		t.Errorf("left behind in the cache: %v", left)
	}
}

// mounted says whether one of the lists of mounts contains a directory below the given ones.
func mounted(lists string, dirs ...string) bool {
	files, _ := filepath.Glob(lists)
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, dir := range dirs {
			if strings.Contains(string(text), " "+dir+"/") {
				return true
			}
		}
	}
	return false
}
