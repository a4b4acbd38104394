package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros/routertest"
)

const deployURL = "https://login.tailscale.com/a/0123456789ab"

// fleet is a number of routers that the command can reach, and a home directory with their host keys.
type fleet struct {
	servers []*routertest.Server
	routers []string // as arguments
	hosts   string   // known_hosts
}

func newFleet(t *testing.T, size int) *fleet {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("ROUTER_PASSWORD", "s3cret")
	f := &fleet{hosts: filepath.Join(home, ".ssh", "known_hosts")}
	if err := os.Mkdir(filepath.Dir(f.hosts), 0o700); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for range size {
		r := routertest.New(24)
		r.Pull = func(source string) (string, error) {
			i := slices.IndexFunc(r.Tables["/file"], func(e *routertest.Entry) bool { return e.Values["name"] == source })
			id := fmt.Sprintf("%x", sha256.Sum256(r.Tables["/file"][i].Content))
			if !r.Has("/file", "name", "tailscale-state/authkey") {
				r.States[id], r.Says[id] = "NeedsLogin", []string{"entrypoint: to log this router in, visit " + deployURL}
			}
			return id, nil
		}
		s := routertest.Serve(t, r)
		f.servers, f.routers = append(f.servers, s), append(f.routers, "admin@"+s.Address)
		lines.WriteString(knownhosts.Line([]string{s.Address}, s.HostKey) + "\n")
	}
	if err := os.WriteFile(f.hosts, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// smallImage writes a tarball that only contains a word.
func smallImage(t *testing.T, arch, word string) string {
	t.Helper()
	target, err := platform.Parse(arch)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "word"), []byte(word), 0o600); err != nil {
		t.Fatal(err)
	}
	layer, err := archive.Layer(dir, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	img, err := archive.Image(layer, target, v1.Config{Entrypoint: []string{"/word"}}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	_, err = archive.WriteFile(t.Context(), path, func(w io.Writer) error {
		return archive.WriteTarball(w, img, name.MustParseReference("tailscale:1").(name.Tag))
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// deployed is the JSON output.
type deployed struct {
	Routers []struct {
		Router, State, Error string
		LoginURL             string `json:"login_url"`
		Addresses            []string
		Facts                struct{ Board, Architecture string }
		Plan                 struct{ Action, Platform, Hostname string }
	}
}

func deployJSON(t *testing.T, args ...string) (deployed, int) {
	t.Helper()
	stdout, stderr, code := call(t, append([]string{"deploy", "--json", "--password", "env://ROUTER_PASSWORD"}, args...)...)
	var d deployed
	if err := json.Unmarshal([]byte(stdout), &d); err != nil || len(d.Routers) == 0 {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	return d, code
}

func TestDeployInstallsFindsNothingToDoAndUpdates(t *testing.T) {
	f := newFleet(t, 1)
	args := []string{"deploy", f.routers[0], "--subnet", "192.168.88.0/24", "--password", "env://ROUTER_PASSWORD", "--tarball"}
	for _, c := range []struct {
		image string
		want  []string
	}{
		{"one", []string{": MikroTik, hAP ax^2, arm64, RouterOS 7.24.1: install the image for arm64 (0.0 MiB) on the internal storage\n", ": installed; log it in at " + deployURL + "\n"}},
		{"one", []string{": nothing to do\n", ": unchanged\n"}},
		{"two", []string{": update the image for arm64", ": updated; log it in at " + deployURL + "\n"}},
	} {
		stdout, stderr, code := call(t, append(args, smallImage(t, "arm64", c.image))...)
		if code != 0 {
			t.Fatal(stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("it says\n%swant\n%s", stdout, want)
			}
		}
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	f := newFleet(t, 2)
	f.servers[1].Singles["/system/resource"]["architecture-name"] = "arm"
	f.servers[1].Singles["/system/resource"]["board-name"] = "hEX"
	before := f.servers[0].Snapshot() + f.servers[1].Snapshot()
	d, code := deployJSON(t, append(f.routers, "--dry-run", "--exit-node")...)
	if code != 0 || before != f.servers[0].Snapshot()+f.servers[1].Snapshot() {
		t.Errorf("exit code %d", code)
	}
	for i, want := range []string{"arm64", "armv5"} {
		if r := d.Routers[i]; r.State != "planned" || r.Plan.Action != "install" || r.Plan.Platform != want {
			t.Errorf("%+v; want %s", r, want)
		}
	}
}

func TestTenRoutersOfWhichTwoFail(t *testing.T) {
	f := newFleet(t, 10)
	f.servers[3].Tables["/system/package"] = nil
	f.servers[7].Password = "another"
	sites := filepath.Join(t.TempDir(), "sites.txt")
	var list strings.Builder
	for i, r := range f.routers[1:] {
		fmt.Fprintf(&list, "%s --hostname site%d --subnet 192.168.%d.0/24 # a comment\n\n", r, i+1, i+1)
	}
	if err := os.WriteFile(sites, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("tskey-auth-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{f.routers[0], "--routers", sites, "--subnet", "10.0.0.0/8", "--firewall", "--tarball", smallImage(t, "arm64", "one"), "--auth-key", "file://" + key}
	d, code := deployJSON(t, args...)
	if code != exitFailure || len(d.Routers) != 10 {
		t.Fatalf("exit code %d, %d routers", code, len(d.Routers))
	}
	for i, r := range d.Routers {
		switch i {
		case 3:
			if !strings.Contains(r.Error, "the container package is not installed") {
				t.Errorf("%s: %q", r.Router, r.Error)
			}
		case 7:
			if !strings.Contains(r.Error, `refused the login of "admin"`) {
				t.Errorf("%s: %q", r.Router, r.Error)
			}
		default:
			if r.State != "installed" || len(r.Addresses) == 0 {
				t.Errorf("%+v", r)
			}
			subnet := "10.0.0.0/8"
			if i > 0 {
				subnet = fmt.Sprintf("192.168.%d.0/24", i)
			}
			if !f.servers[i].Has("/container/envs", "value", subnet) {
				t.Errorf("%s does not advertise %s", r.Router, subnet)
			}
			if !f.servers[i].Has("/ip/firewall/filter", "comment", "mikrotik-tailscale:tailscale") {
				t.Errorf("%s has no firewall rule", r.Router)
			}
		}
	}
	// The same call without --json.
	stdout, stderr, code := call(t, append([]string{"deploy", "--password", "env://ROUTER_PASSWORD"}, args...)...)
	if code != exitFailure || !strings.Contains(stdout, "10 routers: 8 done, 2 failed\n") || strings.Count(stderr, "Error: ") != 2 {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, "tskey-auth-1") || strings.Contains(stdout+stderr, "s3cret") {
		t.Errorf("a secret is shown:\n%s%s", stdout, stderr)
	}
}

func TestDeployIsInterrupted(t *testing.T) {
	f := newFleet(t, 1)
	before := f.servers[0].Snapshot()
	ctx, stop := context.WithCancel(t.Context())
	f.servers[0].OnUpload = func(_ *routertest.Server, file string, _ int) {
		if strings.HasSuffix(file, ".tar") {
			stop()
		}
	}
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"deploy", f.routers[0], "--password", "env://ROUTER_PASSWORD", "--tarball", smallImage(t, "arm64", "one")}, &stdout, &stderr)
	if code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted: removing everything that was added") ||
		!strings.Contains(stderr.String(), "Error: "+f.routers[0]+": interrupted, everything that was added has been removed\n") {
		t.Errorf("exit code %d\n%s%s", code, stdout.String(), stderr.String())
	}
	if after := f.servers[0].Snapshot(); after != before {
		t.Errorf("after the interruption:\n%s\nbefore:\n%s", after, before)
	}
}

func TestDeployRefusesWrongCallsInOneLine(t *testing.T) {
	f := newFleet(t, 1)
	before := f.servers[0].Snapshot()
	arm64, armv5 := smallImage(t, "arm64", "one"), smallImage(t, "armv5", "one")
	sites := filepath.Join(t.TempDir(), "sites.txt")
	if err := os.WriteFile(sites, []byte("admin@192.0.2.1\nadmin@192.0.2.2 --subnet x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EMPTY", "")
	t.Setenv("TWO", "tskey one")
	r := f.routers[0]
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"no router":       {nil, "no router: want one or more such as admin@192.168.88.1", exitUsage},
		"no host":         {[]string{"admin@"}, `malformed router "admin@": want user@host`, exitUsage},
		"twice":           {[]string{r, r}, "the router " + r + " is named twice", exitUsage},
		"no file":         {[]string{"--routers", "none.txt"}, "reading the routers: open none.txt", exitUsage},
		"a line":          {[]string{"--routers", sites}, sites + `, line 2: malformed subnet "x"`, exitUsage},
		"a subnet":        {[]string{r, "admin@192.0.2.1", "--subnet", "192.168.88.1/24"}, "want 192.168.88.0/24", exitUsage},
		"a key":           {[]string{r, "--auth-key", "tskey-auth-secret"}, "--auth-key does not accept the secret itself, only where to read it from: want env://NAME, file://PATH or prompt", exitUsage},
		"an empty key":    {[]string{r, "--auth-key", "env://EMPTY"}, "no auth-key in env://EMPTY", exitUsage},
		"two keys":        {[]string{r, "--auth-key", "env://TWO"}, "blanks or several lines", exitUsage},
		"nobody to ask":   {[]string{r, "--auth-key", "prompt"}, "--auth-key prompt needs a terminal: want env://NAME or file://PATH", exitUsage},
		"no tarball":      {[]string{r, "--tarball", "none.tar"}, "reading the tarball none.tar: open none.tar", exitUsage},
		"not a tarball":   {[]string{r, "--tarball", sites}, "reading the tarball " + sites, exitUsage},
		"same platform":   {[]string{r, "--tarball", arm64 + "," + arm64}, "are both for arm64: want one for each platform", exitUsage},
		"update at":       {[]string{r, "--update-at", "04:30"}, "updates at 04:30 need an image that the router fetches: want --image, too", exitUsage},
		"no identity":     {[]string{r, "--identity", "none"}, "reading the key file: open none", exitUsage},
		"no known hosts":  {[]string{r, "--known-hosts", "none"}, "reading --known-hosts: stat none", exitUsage},
		"nothing to show": {[]string{r, "--tarball", arm64, "--password", ""}, "nothing to log in with", exitUsage},
		"other platform":  {[]string{r, "--tarball", armv5}, "none of the tarballs is for arm64, which this router needs", exitFailure},
		"wrong arch":      {[]string{r, "--tarball", armv5, "--arch", "armv5"}, "the image for armv5 does not run on this router, which is arm64: want arm64", exitFailure},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"deploy", "--password", "env://ROUTER_PASSWORD"}
			_, stderr, code := call(t, append(args, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d: %swant %d: %s", code, stderr, c.code, c.want)
			}
			if strings.Count(stderr, "\n") != 1 {
				t.Errorf("the error is not one line:\n%s", stderr)
			}
			if strings.Contains(stderr, "tskey") {
				t.Errorf("a key is shown: %s", stderr)
			}
		})
	}
	if after := f.servers[0].Snapshot(); after != before {
		t.Error("the router was changed")
	}
}

// Without a terminal, nobody can confirm a router's key.
func TestAnUnknownRouterIsRefused(t *testing.T) {
	f := newFleet(t, 1)
	if err := os.Remove(f.hosts); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := call(t, "deploy", f.routers[0], "--password", "env://ROUTER_PASSWORD", "--tarball", smallImage(t, "arm64", "one"))
	if code != exitFailure || !strings.Contains(stderr, ": ssh-ed25519 "+ssh.FingerprintSHA256(f.servers[0].HostKey)+"; if it is right, add it to ") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// On a terminal, the command asks about the host key and for the password.
func TestDeployOnATerminal(t *testing.T) {
	testtools.Require(t, local.Tool{Command: "script", Package: "bsdutils"})
	f := newFleet(t, 1)
	if err := os.Remove(f.hosts); err != nil {
		t.Fatal(err)
	}
	image := smallImage(t, "arm64", "one")
	cmd := exec.CommandContext(t.Context(), "script", "--quiet", "--command",
		"stty rows 24 cols 120; exec "+os.Args[0]+" deploy "+f.routers[0]+" --tarball "+image, "/dev/null")
	cmd.Env = append(os.Environ(), asCommand+"=1", "TERM=xterm")
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	screen, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	until := func(want string) {
		for b := make([]byte, 1024); !strings.Contains(seen.String(), want); {
			n, err := screen.Read(b)
			seen.Write(b[:n])
			if err != nil {
				t.Fatalf("the terminal does not show %q:\n%s", want, seen.String())
			}
		}
	}
	for _, step := range [][2]string{
		{ssh.FingerprintSHA256(f.servers[0].HostKey) + ". Is it right? [y/N] ", "y\n"},
		{"Password of admin@127.0.0.1: ", f.servers[0].Password + "\n"},
	} {
		until(step[0])
		if _, err := io.WriteString(keyboard, step[1]); err != nil {
			t.Fatal(err)
		}
	}
	until("installed; log it in at " + deployURL)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if strings.Contains(seen.String(), f.servers[0].Password) {
		t.Errorf("the terminal shows the password:\n%s", seen.String())
	}
	if text := read(t, f.hosts); !strings.Contains(text, "ssh-ed25519") {
		t.Errorf("known_hosts is %q", text)
	}
}

func TestLoginKeys(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, path string, block *pem.Block, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, give := range map[string]func(*testing.T, *fleet) []string{
		"the usual file": func(t *testing.T, f *fleet) []string {
			block, err := ssh.MarshalPrivateKey(private, "")
			write(t, filepath.Join(filepath.Dir(f.hosts), "id_ed25519"), block, err)
			return nil
		},
		"a file with a passphrase": func(t *testing.T, _ *fleet) []string {
			path := filepath.Join(t.TempDir(), "key")
			block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open"))
			write(t, path, block, err)
			t.Setenv("PASSPHRASE", "open")
			return []string{"--identity", path, "--passphrase", "env://PASSPHRASE"}
		},
		"the agent": func(t *testing.T, _ *fleet) []string {
			keys := agent.NewKeyring()
			if err := keys.Add(agent.AddedKey{PrivateKey: private}); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "agent"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() { _ = agent.ServeAgent(keys, conn) }()
				}
			}()
			t.Setenv("SSH_AUTH_SOCK", l.Addr().String())
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, 1)
			f.servers[0].Key = key
			args := give(t, f)
			stdout, stderr, code := call(t, append([]string{"deploy", f.routers[0], "--dry-run"}, args...)...)
			if code != 0 || !strings.Contains(stdout, "install the image for arm64") {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
			// A locked key that the user names is not skipped.
			if slices.Contains(args, "--passphrase") {
				_, stderr, code := call(t, append([]string{"deploy", f.routers[0], "--dry-run"}, args[:2]...)...)
				if code != exitUsage || !strings.Contains(stderr, "it needs a passphrase: want --passphrase or an SSH agent") {
					t.Errorf("exit code %d: %s", code, stderr)
				}
			}
		})
	}
}
