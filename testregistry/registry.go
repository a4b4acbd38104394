// Package testregistry runs a real registry for tests.
package testregistry

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// registryProgram is the registry that most people run, built from its source.
const registryProgram = "github.com/distribution/distribution/v3/cmd/registry@v3.0.0"

// Start runs the registry on a free port of this machine until the test ends, and gives its host
// and port. With a user it wants to know who calls; a read-only one refuses every push.
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

// StartWithTokens runs the registry so that it lets in who brings a token from the address realm,
// signed with the key of the certificate, in PEM.
func StartWithTokens(t testing.TB, realm, service, issuer string, certificate []byte) (address string) {
	t.Helper()
	path := t.TempDir() + "/token.pem"
	write(t, path, string(certificate))
	return start(t, fmt.Sprintf("  token: {realm: %q, service: %q, issuer: %q, rootcertbundle: %q}\n", realm, service, issuer, path), false)
}

// start runs the registry with a section of its configuration that says who is let in.
func start(t testing.TB, auth string, readOnly bool) (address string) {
	t.Helper()
	dir := t.TempDir()
	program := Program(t, registryProgram)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: %s/data}\n  maintenance: {readonly: {enabled: %v}}\nhttp: {addr: %q}\n",
		dir, readOnly, address)
	if auth != "" {
		config += "auth:\n" + auth
	}
	write(t, dir+"/config.yml", config)
	server := exec.CommandContext(t.Context(), program, "serve", dir+"/config.yml")
	server.Env = []string{"OTEL_TRACES_EXPORTER=none"}
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for range 100 {
		if response, err := http.Get("http://" + address + "/v2/"); err == nil {
			_ = response.Body.Close()
			return address
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the registry does not answer on %s", address)
	return ""
}

// Program builds a Go program, named with its version, and gives its path.
func Program(t testing.TB, module string) string {
	t.Helper()
	dir := t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", module, err, out)
	}
	name, _, _ := strings.Cut(path.Base(module), "@")
	return filepath.Join(dir, name)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
