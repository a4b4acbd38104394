// Package testregistry runs a real registry for tests.
package testregistry

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"dagger/mikrotik-tailscale/endtoend/testtools"
)

// The module of the most common registry.
const (
	registryModule  = "github.com/distribution/distribution/v3"
	registryVersion = "v3.0.0"
)

//go:embed testdata/registry/main.go
var registrySource string

// program builds the registry and returns its path.
func program(t testing.TB) string {
	t.Helper()
	source := sha256.Sum256([]byte(registrySource))
	version := fmt.Sprintf("%s@%s-%x", registryModule, registryVersion, source[:8])
	return testtools.CachedProgram(t, version, "registry", func(directory string) {
		write(t, directory+"/main.go", registrySource)
		write(t, directory+"/go.mod", "module registry\n\ngo 1.24\n\nrequire "+registryModule+" "+registryVersion+"\n")
		build := testtools.QuickGo(t.Context(), "build", "-mod=mod", "-o", "registry", ".")
		build.Dir = directory
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the registry: %v\n%s", err, out)
		}
	})
}

// Start runs the registry on a free port of this machine until the test ends, and returns its host and port. If user
// is set, the registry requires a login. A read-only registry refuses every push.
func Start(t testing.TB, user, password string, readOnly bool) (address string) {
	t.Helper()
	if user == "" {
		return start(t, "", readOnly)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/htpasswd"
	write(t, path, user+":"+string(hash)+"\n")
	return start(t, "  htpasswd: {realm: test, path: "+path+"}\n", readOnly)
}

// StartWithTokens runs a registry that accepts tokens from the address realm, signed with the key of the certificate,
// in PEM.
func StartWithTokens(t testing.TB, realm, service, issuer string, certificate []byte) (address string) {
	t.Helper()
	path := t.TempDir() + "/token.pem"
	write(t, path, string(certificate))
	return start(t, fmt.Sprintf("  token: {realm: %q, service: %q, issuer: %q, rootcertbundle: %q}\n", realm, service, issuer, path), false)
}

// start runs the registry with the given authentication section in its configuration.
func start(t testing.TB, auth string, readOnly bool) (address string) {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: info, formatter: json}\nstorage:\n  filesystem: {rootdirectory: %s/data}\n  maintenance: {readonly: {enabled: %v}}\nhttp: {addr: \"127.0.0.1:0\"}\n",
		dir, readOnly)
	if auth != "" {
		config += "auth:\n" + auth
	}
	write(t, dir+"/config.yml", config)
	server := exec.CommandContext(t.Context(), program(t), "serve", dir+"/config.yml")
	server.Env = []string{"OTEL_TRACES_EXPORTER=none"}
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// Linux sends the death signal when the thread that started the program exits.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- server.Start()
		<-ended
	}()
	t.Cleanup(func() { close(ended) })
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	address, printed := listening(log)
	if address == "" {
		t.Fatalf("the registry exited before it was listening:\n%s", printed)
	}
	go func() { _, _ = io.Copy(io.Discard, log) }() // otherwise the registry stops when the pipe is full
	return address
}

// listening reads the registry's log up to the line with its address. The address is "" if the log ends before that.
func listening(log io.Reader) (address, printed string) {
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		printed += line
		var entry struct{ Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil {
			if address, found := strings.CutPrefix(entry.Msg, "listening on "); found {
				return address, printed
			}
		}
		if err != nil {
			return "", printed
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
