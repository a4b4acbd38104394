package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

func TestACustomImage(t *testing.T) {
	testtools.Require(t, append(imageTools, local.Tool{Command: "qemu-arm-static", Package: "qemu-user-static"})...)
	extra := t.TempDir()
	if err := os.WriteFile(extra+"/hello", []byte("#!/bin/sh\necho hello from $(uname)\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	_, stderr, code := call(t, "build", "--arch", "arm", "--extra", extra, "--entrypoint", "/hello,world", "--labels", "site=home, sweet=home",
		"--revision", "7", "--applet-names", "ash,sh,uname")
	if code != 0 {
		t.Fatal(stderr)
	}
	tarball := "docker-archive:tailscale-arm.tar"
	var image struct {
		Config struct {
			Entrypoint, Cmd []string
			Labels          map[string]string
		}
	}
	if err := json.Unmarshal([]byte(tool(t, "skopeo", "inspect", "--config", tarball)), &image); err != nil {
		t.Fatal(err)
	}
	if c := image.Config; !slices.Equal(c.Entrypoint, []string{"/hello", "world"}) || len(c.Cmd) > 0 ||
		c.Labels["site"] != "home, sweet=home" || !strings.HasSuffix(c.Labels["org.opencontainers.image.version"], "-mt.7") {
		t.Errorf("configuration: %+v", c)
	}
	arm, err := platform.Parse("arm")
	if err != nil {
		t.Fatal(err)
	}
	if got := inImage(t, unpack(t, "tailscale-arm.tar"), arm, "/hello"); got != "hello from Linux\n" {
		t.Errorf("the extra program prints %q", got)
	}
}

// The user's own programs must run on the router, too. They are checked before anything is built.
func TestAProgramForAnotherMachineIsRefused(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	extra := t.TempDir()
	if err := os.WriteFile(extra+"/mine", []byte(read(t, program)), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(emptyDir(t))
	_, stderr, code := call(t, "build", "--arch", "armv5", "--extra", extra)
	if code != exitUsage || !strings.Contains(stderr, "the extra directory "+extra+" doesn't fit into the image for armv5: mine: is for ") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}
