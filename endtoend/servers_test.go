package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// headscaleVersion is the release of headscale, the control server that people run themselves.
const headscaleVersion = "v0.27.1"

// serversVersion is the Tailscale release of the servers and of the upstream client. That client needs gVisor, in a
// version that not every Go proxy has for the newest release.
const serversVersion = recipe.PreviousTailscaleVersion

// serverAddress is the address of all servers, in the namespace that simulates the internet. After a failure,
// Tailscale insists on TLS to the control server unless its address is private.
const (
	serverAddress  = "198.18.0.1"
	serverAddress6 = "2001:db8::1"
	controlAddress = "10.0.0.1"
	controlURL     = "http://" + controlAddress + ":8080"
)

// source is a published module. Programs are built from it in a module of their own.
type source struct {
	module, version string
	// leftOut are features of Tailscale that the programs don't have.
	leftOut []string
}

var (
	headscale = source{module: "github.com/juanfont/headscale", version: headscaleVersion}
	// The features that no test uses take half of the time to compile.
	tailscaleServers = source{module: "tailscale.com", version: "v" + serversVersion, leftOut: []string{
		"acme", "appconnectors", "aws", "captiveportal", "capture", "clientupdate", "conn25", "dbus", "debugportmapper", "doctor", "drive",
		"kube", "logtail", "netlog", "networkmanager", "outboundproxy", "posture", "remoteconfig", "resolved", "routecheck", "serve",
		"serviceclientprefs", "ssh", "syspolicy", "taildrop", "tap", "tpm", "wakeonlan", "webclient",
	}}
	// newestTailscale is the image's own release.
	newestTailscale = source{module: "tailscale.com", version: "v" + recipe.TailscaleVersion}
)

// programs are the servers and the client.
var programs = map[string]source{
	"github.com/juanfont/headscale/cmd/headscale": headscale,
	"tailscale.com/cmd/derper":                    tailscaleServers,
	"tailscale.com/cmd/stund":                     tailscaleServers,
	// Its source is in testdata.
	"./testcontrol":                tailscaleServers,
	"tailscale.com/cmd/tailscale":  tailscaleServers,
	"tailscale.com/cmd/tailscaled": tailscaleServers,
}

// program builds a program for this machine and returns its path.
func program(t testing.TB, name string) string {
	t.Helper()
	return programFor(t, runtime.GOARCH, name)
}

// programFor builds a program and returns its path.
func programFor(t testing.TB, architecture, name string) string {
	t.Helper()
	for pkg, source := range programs {
		if path.Base(pkg) == name {
			return source.build(t, testtools.QuickGo, architecture, pkg)
		}
	}
	t.Fatalf("unknown program %s", name)
	return ""
}

// goCommand is testtools.Go or testtools.QuickGo.
type goCommand func(ctx context.Context, subcommand string, args ...string) *exec.Cmd

// compiled has the paths of the programs that this run has built. The go command takes a second to find out that a
// program is up to date.
var compiled sync.Map

// build builds a package's program with the given command, and returns its path. The directory is kept, so that later runs
// are fast.
func (s source) build(t testing.TB, compile goCommand, architecture, pkg string) string {
	t.Helper()
	cache, err := local.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache+"-tests", strings.ReplaceAll(s.module, "/", "_")+"@"+s.version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, architecture, path.Base(pkg))
	if _, ok := compiled.Load(program); ok {
		return program
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	if _, ok := compiled.Load(program); ok {
		return program
	}
	run := func(cmd *exec.Cmd) {
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "GOARCH="+architecture)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", pkg, err, out)
		}
	}
	if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil || !strings.Contains(string(mod), s.module+" "+s.version) {
		write(t, filepath.Join(dir, "go.mod"), "module servers\n\ngo 1.26.1\n")
		run(testtools.Go(t.Context(), "get", s.module+"@"+s.version))
	}
	if own, ok := strings.CutPrefix(pkg, "./"); ok {
		text, err := os.ReadFile(filepath.Join("testdata", own, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, own), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, own, "main.go"), string(text))
	}
	var tags []string
	for _, feature := range s.leftOut {
		tags = append(tags, "ts_omit_"+feature)
	}
	run(compile(t.Context(), "build", "-mod=mod", "-tags="+strings.Join(tags, ","), "-o", program, pkg))
	compiled.Store(program, nil)
	return program
}

// control is a headscale server.
type control struct {
	t            testing.TB
	network      namespace
	dir, address string
	server       *process
}

// url returns the server's URL.
func (c *control) url() string { return "http://" + c.address + ":8080" }

const headscaleConfig = `
server_url: http://%[2]s:8080
listen_addr: %[2]s:8080
metrics_listen_addr: %[2]s:9090
grpc_listen_addr: %[2]s:50443
noise: {private_key_path: %[1]s/noise.key}
prefixes: {v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48"}
derp: {server: {enabled: false}, urls: [], paths: [%[1]s/derp.yaml], auto_update_enabled: false}
disable_check_updates: true
database: {type: sqlite, sqlite: {path: %[1]s/db.sqlite}}
log: {level: info}
policy: {mode: file, path: %[1]s/policy.json}
dns:
  magic_dns: true
  base_domain: tailnet.example
  override_local_dns: false
  nameservers: {global: [], split: {corp.example: [` + serverAddress + `]}}
  extra_records: [{name: printer.tailnet.example, type: A, value: 192.168.81.10}]
unix_socket: %[1]s/socket
cli: {timeout: 2m} # the default of five seconds is too short for a busy machine
`

const derpMap = `
regions:
  900:
    regionid: 900
    regioncode: test
    regionname: Test
    nodes:
      - {name: 900a, regionid: 900, hostname: ` + serverAddress + `, ipv4: ` + serverAddress + `, ipv6: "` + serverAddress6 + `", stunport: 3478, derpport: 8443, insecurefortests: true}
`

// The policy approves the routes that the tests advertise.
const policy = `{
	"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
	"autoApprovers": {"routes": {"192.168.0.0/16": ["router@"], "fd00::/8": ["router@"]}, "exitNode": ["router@"]}
}`

// anotherControl prepares a second control server.
func anotherControl(t testing.TB, network namespace, address string) *control {
	t.Helper()
	c := &control{t: t, network: network, dir: t.TempDir(), address: address}
	write(t, c.dir+"/config.yaml", fmt.Sprintf(headscaleConfig, c.dir, address))
	write(t, c.dir+"/derp.yaml", derpMap)
	write(t, c.dir+"/policy.json", policy)
	return c
}

// newControl prepares a control server and starts its relay and its STUN server.
func newControl(t testing.TB, network namespace) *control {
	t.Helper()
	c := anotherControl(t, network, controlAddress)
	env := []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	derper := start(t, "derper", env, network.in(program(t, "derper"), "-a", ":8443", "-http-port", "-1", "-stun=false",
		"-certmode", "manual", "-certdir", c.dir+"/certs", "-hostname", serverAddress, "-c", c.dir+"/derper.json")...)
	derper.waitFor("serving on")
	start(t, "stund", env, network.in(program(t, "stund"), "-stun", ":3478", "-http", "127.0.0.1:3479")...).waitFor("STUN server listening")
	return c
}

// start starts the control server and waits until it answers.
func (c *control) start() {
	c.t.Helper()
	c.server = start(c.t, "headscale", []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH")},
		c.network.in(program(c.t, "headscale"), "--config", c.dir+"/config.yaml", "serve")...)
	c.server.waitFor("listening and serving HTTP")
	eventually(c.t, "headscale answers", func() bool { return c.try("users", "list") == nil })
	if !strings.Contains(c.run("users", "list"), "router") {
		c.run("users", "create", "router")
	}
}

func (c *control) stop() { c.server.kill() }

func (c *control) run(args ...string) string {
	c.t.Helper()
	return c.network.command(append([]string{program(c.t, "headscale"), "--config", c.dir + "/config.yaml"}, args...)...)
}

func (c *control) try(args ...string) error {
	all := c.network.in(append([]string{program(c.t, "headscale"), "--config", c.dir + "/config.yaml"}, args...)...)
	return exec.CommandContext(c.t.Context(), all[0], all[1:]...).Run()
}

// key creates a login key, for one use or for many.
func (c *control) key(reusable bool) string {
	c.t.Helper()
	var key struct{ Key string }
	out := c.run("preauthkeys", "create", "--user", "1", fmt.Sprintf("--reusable=%v", reusable), "--expiration", "1h", "--output", "json")
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &key); err != nil || key.Key == "" {
		c.t.Fatalf("headscale created no key (%v):\n%s", err, out)
	}
	return key.Key
}
