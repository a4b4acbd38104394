package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

// The default image is packed by the launcher, has its CA certificates in the program, and no symbols. This one has the
// other choices, all at once.
func TestAnImageWithTheOtherChoices(t *testing.T) {
	testmode.Long(t)
	testtools.Require(t, append(imageTools, local.Tools()...)...)
	target, err := platform.Parse(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if _, stderr, code := call(t, "build", "--arch", target.Name, "--compression", "upx", "--certificates", "file", "--keep-symbols", "--output", "image.tar"); code != 0 {
		t.Fatal(stderr)
	}
	tarball, err := filepath.Abs("image.tar")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Config struct {
			Env    []string
			Labels map[string]string
		}
	}
	if err := json.Unmarshal([]byte(tool(t, "skopeo", "inspect", "--config", "--raw", "docker-archive:"+tarball)), &config); err != nil {
		t.Fatal(err)
	}
	rootfs := unpack(t, tarball)
	runs(t, rootfs, target)

	for _, program := range []string{"usr/local/bin/tailscaled", "bin/busybox"} {
		// UPX's mark stands in its header and at the end. The stage has let UPX test what it packed.
		if text := read(t, filepath.Join(rootfs, program)); strings.Count(text, "UPX!") < 2 {
			t.Errorf("%s is not packed by UPX", program)
		}
	}
	if got := config.Config.Labels["mikrotik-tailscale.compression"]; got != "upx" {
		t.Errorf("the label says %q", got)
	}

	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	if !slices.Contains(config.Config.Env, "SSL_CERT_FILE="+bundle) {
		t.Errorf("the environment is %q", config.Config.Env)
	}
	count := 0
	for block, rest := pem.Decode([]byte(read(t, rootfs+bundle))); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		count++
	}
	if count < 100 {
		t.Errorf("%d CA certificates", count)
	}

	if files, err := filepath.Glob("*.symbols"); err != nil || len(files) > 0 || slices.Contains(config.Config.Env, "GOTRACEBACK=system") {
		t.Errorf("symbols are in the program, and there are %q (%v), %q", files, err, config.Config.Env)
	}
	if text := crashOf(t, filepath.Join(rootfs, "usr/local/bin/tailscale")); !strings.Contains(text, "\nmain.main()\n") ||
		!strings.Contains(text, "tailscale.com/cmd/tailscale/cli.") || !strings.Contains(text, ".go:") || strings.Contains(text, "?.(*?).?") {
		t.Errorf("a crash is reported without names:\n%s", text)
	}
}

// crashOf ends the command line tool while it waits for a daemon that never answers, and returns what it prints of itself.
func crashOf(t *testing.T, program string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var text bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "--socket="+socket, "status")
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	connection, err := listener.Accept() // now it waits for an answer
	if err == nil {
		defer func() { _ = connection.Close() }()
		err = cmd.Process.Signal(syscall.SIGQUIT)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return text.String()
}
