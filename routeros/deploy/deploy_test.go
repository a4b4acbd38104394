package deploy_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/deploy"
	"dagger/mikrotik-tailscale/routeros/routertest"
)

const loginURL = "https://login.tailscale.com/a/0123456789ab"

func TestMain(m *testing.M) {
	deploy.Hasten()
	os.Exit(m.Run())
}

// bench is a router, and the options of a person who installs on it.
type bench struct {
	*routertest.Server
	access  deploy.Access
	address deploy.Address
	wishes  deploy.Wishes
	image   deploy.Image
	key     string
	ctx     context.Context
	events  []deploy.Event
}

// newBench returns a bench with the images v1 and v2. Without a key, they ask for a login.
func newBench(t *testing.T) *bench {
	t.Helper()
	r := routertest.New(24)
	r.Singles["/system/identity"]["name"] = "attic"
	b := &bench{Server: routertest.Serve(t, r), ctx: t.Context()}
	r.Pull = func(source string) (string, error) {
		i := slices.IndexFunc(r.Tables["/file"], func(e *routertest.Entry) bool { return e.Values["name"] == source })
		id := string(r.Tables["/file"][i].Content)
		if id == "damaged" {
			return "", errors.New("could not load next layer")
		}
		if !r.Has("/file", "name", "tailscale-state/authkey") {
			r.States[id], r.Says[id] = "NeedsLogin", []string{"entrypoint: to log this router in, visit " + loginURL}
		}
		return id, nil
	}
	address, err := deploy.ParseAddress("admin@" + b.Address)
	if err != nil {
		t.Fatal(err)
	}
	b.address = address
	b.access = deploy.Access{Password: password(b.Password), HostKeys: b.known(t)}
	b.wishes.Options = routeros.Default()
	b.wishes.Options.Subnets = []string{"192.168.88.0/24"}
	b.image = image(t, "v1")
	return b
}

func password(p string) func(string) (string, error) {
	return func(string) (string, error) { return p, nil }
}

// known returns host keys that include the router's.
func (b *bench) known(t *testing.T) *deploy.HostKeys {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	line := knownhosts.Line([]string{b.Address}, b.HostKey)
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return hostKeys(t, path, nil)
}

func hostKeys(t *testing.T, path string, confirm func(string) (bool, error)) *deploy.HostKeys {
	t.Helper()
	h, err := deploy.LoadHostKeys(path, confirm)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// image writes a tarball that only contains a name.
func image(t *testing.T, content string) deploy.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	target, err := platform.Parse("arm64")
	if err != nil {
		t.Fatal(err)
	}
	return deploy.Image{Platform: target, Path: path, Size: int64(len(content)), Checksum: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))}
}

// plan inspects the router and makes a plan.
func (b *bench) plan() (deploy.Plan, error) {
	f, err := deploy.Inspect(b.ctx, b.access, b.address, b.wishes.Options.Name)
	if err != nil {
		return deploy.Plan{}, err
	}
	b.wishes.Key = b.key != ""
	return deploy.NewPlan(f, b.wishes, b.image)
}

// run does the same as the command with one router.
func (b *bench) run() (deploy.Plan, deploy.Result, error) {
	p, err := b.plan()
	if err != nil || p.Action == deploy.Nothing {
		return p, deploy.Result{}, err
	}
	r, err := deploy.Apply(b.ctx, b.access, b.address, p, b.image, b.key, func(e deploy.Event) { b.events = append(b.events, e) })
	return p, r, err
}

func (b *bench) must(t *testing.T, want deploy.Action) deploy.Result {
	t.Helper()
	p, r, err := b.run()
	if err != nil {
		t.Fatalf("%v\nlog: %q", err, b.Log)
	}
	if p.Action != want {
		t.Fatalf("the action was %s; want %s", p.Action, want)
	}
	return r
}

// fails runs it, and checks that it fails and doesn't change the router.
func (b *bench) fails(t *testing.T, want string) {
	t.Helper()
	before := b.snapshot()
	_, _, err := b.run()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v; want it to say %q", err, want)
	}
	if after := b.snapshot(); after != before {
		t.Errorf("after it failed:\n%s\nbefore:\n%s", after, before)
	}
}

// snapshot returns the state of the router without its log.
func (b *bench) snapshot() string {
	log := b.Tables["/log"]
	delete(b.Tables, "/log")
	defer func() { b.Tables["/log"] = log }()
	return b.Snapshot()
}

// file returns the content of a file on the router.
func (b *bench) file(name string) string {
	for _, e := range b.Tables["/file"] {
		if e.Values["name"] == name {
			return string(e.Content)
		}
	}
	return ""
}

func (b *bench) expectRunning(t *testing.T, want ...string) {
	t.Helper()
	if got := b.Running(); !slices.Equal(got, want) {
		t.Errorf("running: %q; want %q", got, want)
	}
}

func TestAFreshInstallationEndsWithTheLoginURL(t *testing.T) {
	b := newBench(t)
	r := b.must(t, deploy.Install)
	if r.State != deploy.Fresh || r.LoginURL != loginURL {
		t.Errorf("result = %+v", r)
	}
	b.expectRunning(t, "v1")
	for _, variable := range []string{"192.168.88.0/24", "attic"} {
		if !b.Has("/container/envs", "value", variable) {
			t.Errorf("no variable has the value %s", variable)
		}
	}
	if c := b.Tables["/container"][0].Values["comment"]; c != "mikrotik-tailscale:tailscale "+b.image.Checksum {
		t.Errorf("the container's comment is %q", c)
	}
	if !slices.ContainsFunc(b.events, func(e deploy.Event) bool { return strings.Contains(e.Log, loginURL) }) {
		t.Errorf("the log was not followed: %v", b.events)
	}
	if !slices.Contains(b.events, deploy.Event{Phase: "uploading", Sent: b.image.Size, Total: b.image.Size}) {
		t.Errorf("the upload was not reported: %v", b.events)
	}
	b.noUploads(t)
	// The remove script stays on the router, so that its owner can remove the installation later.
	if err := b.Run("/import file-name=tailscale-remove.rsc"); err != nil || len(b.Tables["/container"]) > 0 {
		t.Errorf("the remove script on the router left %d containers: %v", len(b.Tables["/container"]), err)
	}
}

// noUploads fails if anything is left that is only needed during the installation.
func (b *bench) noUploads(t *testing.T) {
	t.Helper()
	for _, e := range b.Tables["/file"] {
		if name := e.Values["name"].(string); strings.HasPrefix(name, "tailscale-load") {
			t.Errorf("%s is left over", name)
		}
	}
	if b.Has("/disk", "slot", "tailscale-load") {
		t.Error("the disk for the upload is left over")
	}
}

func TestAKeyLogsTheRouterIn(t *testing.T) {
	b := newBench(t)
	b.key = "tskey-auth-1"
	b.Put("/log", "topics", "container", "message", "an old line")
	b.Says["v1"] = []string{"entrypoint: starting"}
	r := b.must(t, deploy.Install)
	var log []string
	for _, e := range b.events {
		if e.Log != "" {
			log = append(log, e.Log)
		}
	}
	if !slices.Equal(log, b.Says["v1"]) {
		t.Errorf("the log was shown as %q", log)
	}
	if want := []string{routertest.TailnetAddress, "fd7a:115c:a1e0::7"}; !slices.Equal(r.Addresses, want) {
		t.Errorf("result = %+v; want the addresses %q", r, want)
	}
	if key := b.file("tailscale-state/authkey"); key != b.key+"\n" {
		t.Errorf("the key on the router is %q", key)
	}
	if strings.Contains(b.file("tailscale-deploy.json")+b.file("tailscale-remove.rsc"), b.key) {
		t.Error("another file also contains the key")
	}
	// The second time, the key is already on the router.
	b.key = ""
	b.must(t, deploy.Nothing)
	b.image = image(t, "v2")
	if r := b.must(t, deploy.Update); r.State != deploy.Updated || len(r.Addresses) != 2 {
		t.Errorf("result of the update = %+v", r)
	}
	b.expectRunning(t, "v2")
	b.noUploads(t)
	b.must(t, deploy.Nothing)
}

func TestASecondRunFindsNothingToDo(t *testing.T) {
	b := newBench(t)
	b.must(t, deploy.Install)
	before := b.snapshot()
	b.must(t, deploy.Nothing)
	if after := b.snapshot(); after != before {
		t.Errorf("it changed something:\n%s\nbefore:\n%s", after, before)
	}
	// A newer RouterOS does not change the installation.
	b.Singles["/system/resource"]["version"] = "7.25 (stable)"
	b.must(t, deploy.Nothing)
}

func TestAStoppedContainerIsStarted(t *testing.T) {
	b := newBench(t)
	b.key = "tskey-auth-1"
	b.must(t, deploy.Install)
	b.Tables["/container"][0].State = "stopped"
	if r := b.must(t, deploy.Update); r.State != deploy.Unchanged || len(r.Addresses) == 0 {
		t.Errorf("result = %+v", r)
	}
	b.expectRunning(t, "v1")
}

func TestAnImageThatDoesNotWorkIsReplacedByTheOldOne(t *testing.T) {
	for content, want := range map[string]string{"crashes": "the old one was started again", "damaged": "could not be fetched or unpacked"} {
		t.Run(content, func(t *testing.T) {
			b := newBench(t)
			b.key = "tskey-auth-1"
			b.must(t, deploy.Install)
			b.image = image(t, content)
			b.Crashes["crashes"] = true
			b.fails(t, want)
			b.Wait(30)
			b.expectRunning(t, "v1")
		})
	}
}

func TestAFailedInstallationLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bench)
		want   string
	}{
		"damaged image": {func(b *bench) {
			b.image.Path = b.image.Path + ".damaged"
			must(os.WriteFile(b.image.Path, []byte("damaged"), 0o600))
		}, "could not be fetched or unpacked"},
		"it crashes": {func(b *bench) { b.Crashes["v1"] = true; b.Says["v1"] = nil; b.key = "k" }, "the container has stopped"},
		"a wrong key": {func(b *bench) {
			b.key = "k"
			b.States["v1"] = "NeedsLogin"
			b.Says["v1"] = []string{"entrypoint: not logged in: invalid key; trying again from time to time, and as soon as the key changes"}
		}, "not logged in: invalid key"},
		"no control":      {func(b *bench) { b.key = "k"; b.States["v1"] = "NoState" }, "not logged in after 3 minutes; the state is: map[output:NoState"},
		"a route there":   {func(b *bench) { b.Put("/ip/route", "dst-address", "100.64.0.0/10") }, "a route to 100.64.0.0/10 already exists; nothing was changed"},
		"no name server":  {func(b *bench) { b.Singles["/ip/dns"]["dynamic-servers"] = "" }, "the router has no name server"},
		"no disk":         {func(b *bench) { b.Mountless = true }, "adding the disk tailscale-load in memory for the upload: it did not appear"},
		"a command fails": {func(b *bench) { b.FailAt = 12 }, "it does not work"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.change(b)
			b.fails(t, c.want)
		})
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestARouterIsCheckedBeforeAnythingChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bench)
		want   string
	}{
		"package":      {func(b *bench) { b.Tables["/system/package"] = nil }, "the container package is not installed: copy the one for RouterOS 7.24.1 and arm64"},
		"device-mode":  {func(b *bench) { b.Singles["/system/device-mode"]["container"] = false }, "containers are switched off: run /system/device-mode/update container=yes"},
		"old RouterOS": {func(b *bench) { b.Singles["/system/resource"]["version"] = "7.19.4 (stable)" }, "RouterOS 7.19.4 is too old: want 7.21 or later"},
		"flash":        {func(b *bench) { b.Singles["/system/resource"]["free-hdd-space"] = int64(100 << 10) }, "0.1 MiB of flash are free, and the image takes 0.3 MiB: want a disk, or --image, which the router can keep in memory"},
		"disk": {func(b *bench) {
			b.wishes.Options.Disk = "usb1"
			b.Put("/disk", "slot", "usb1", "type", "hardware", "free", int64(1<<10))
		}, "0.0 MiB are free on usb1"},
		"memory":   {func(b *bench) { b.Singles["/system/resource"]["free-memory"] = int64(20 << 20) }, "20.0 MiB of memory are free, and an installation takes 44.0 MiB"},
		"a subnet": {func(b *bench) { b.wishes.Options.Subnets = []string{"192.168.88.1/24"} }, "want 192.168.88.0/24"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.change(b)
			b.fails(t, c.want)
			if len(b.events) > 0 {
				t.Errorf("the installation started: %v", b.events)
			}
		})
	}
}

func TestTheDiskFollowsFromTheRouter(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bench)
		want   string
	}{
		"internal":  {func(*bench) {}, ""},
		"directory": {func(b *bench) { b.Put("/file", "name", "flash") }, "flash"},
		"full": {func(b *bench) {
			b.Singles["/system/resource"]["free-hdd-space"] = int64(100 << 10)
			b.Put("/disk", "slot", "ram1", "type", "tmpfs", "free", int64(64<<20))
			b.Put("/disk", "slot", "usb1", "type", "hardware", "free", int64(1<<30))
			b.Put("/file", "name", "usb1")
		}, "usb1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.change(b)
			p, r, err := b.run()
			if err != nil || p.Options.Disk != c.want || r.LoginURL != loginURL {
				t.Errorf("disk %q, result %+v, error %v; want the disk %q", p.Options.Disk, r, err, c.want)
			}
			// A second run finds the container there.
			b.must(t, deploy.Nothing)
		})
	}
}

// registry serves an image for the router. An update is available when the digest changes.
func (b *bench) registry(t *testing.T) (release func(digit string)) {
	t.Helper()
	digest := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"manifests": [{"digest": %q, "platform": {"architecture": "arm64"}}]}`, digest)
	}))
	t.Cleanup(server.Close)
	b.wishes.Options.Image, b.wishes.Options.Insecure = strings.TrimPrefix(server.URL, "http://")+"/me/tailscale:stable", true
	b.image.Path, b.image.Checksum = "", ""
	release = func(digit string) {
		digest = "sha256:" + strings.Repeat(digit, 64)
		b.Pull = func(string) (string, error) { return digit, nil }
	}
	release("1")
	return release
}

func TestAnImageOfARegistryIsFetchedByTheRouter(t *testing.T) {
	b := newBench(t)
	release := b.registry(t)
	b.key, b.wishes.Options.UpdateAt = "k", "04:30"
	b.must(t, deploy.Install)
	b.expectRunning(t, "1")
	if b.file("tailscale-update.rsc") == "" {
		t.Error("the script that runs at 04:30 is not there")
	}
	// Only the registry knows whether there is an update.
	if r := b.must(t, deploy.Update); r.State != deploy.Unchanged {
		t.Errorf("result = %+v", r)
	}
	release("2")
	if r := b.must(t, deploy.Update); r.State != deploy.Updated {
		t.Errorf("result = %+v", r)
	}
	b.expectRunning(t, "2")
}

func TestAnImageThatFitsNowhereElseIsInMemory(t *testing.T) {
	b := newBench(t)
	b.registry(t)
	b.key, b.image.Size = "k", 3<<20
	b.Singles["/system/resource"]["free-hdd-space"] = int64(2 << 20)
	b.Put("/file", "name", "flash")
	p, r, err := b.run()
	if err != nil || r.State != deploy.Fresh || p.Options.Root != routeros.RootMemory || p.Options.Disk != "flash" {
		t.Fatalf("plan %+v, result %+v, error %v", p, r, err)
	}
	if b.file("flash/tailscale-start.rsc") == "" {
		t.Error("the script that runs at each boot is not there")
	}
	if r := b.must(t, deploy.Update); r.State != deploy.Unchanged {
		t.Errorf("result = %+v", r)
	}
	b = newBench(t)
	b.registry(t)
	b.image.Size = 3 << 20
	b.Singles["/system/resource"]["free-hdd-space"] = int64(2 << 20)
	b.Singles["/system/resource"]["free-memory"] = int64(50 << 20)
	b.fails(t, "50.0 MiB of memory are free, and an installation takes 56.0 MiB")
	b.Singles["/system/resource"]["free-hdd-space"] = int64(100 << 10)
	b.fails(t, "and the state in flash takes 0.2 MiB: want a disk")
}

func TestAnUpdateWithoutRoomForTwoImagesIsInPlace(t *testing.T) {
	b := newBench(t)
	b.must(t, deploy.Install)
	b.Singles["/system/resource"]["free-hdd-space"] = int64(1 << 20)
	b.image = image(t, "v2")
	p, r, err := b.run()
	if err != nil || !p.Options.InPlace || r.State != deploy.Updated || len(p.Notes) != 1 {
		t.Errorf("plan %+v, result %+v, error %v", p, r, err)
	}
	b.expectRunning(t, "v2")
}

func TestOtherSettingsNeedAReinstallation(t *testing.T) {
	b := newBench(t)
	b.must(t, deploy.Install)
	b.wishes.Options.Subnets = []string{"10.0.0.0/8"}
	b.fails(t, "it is installed with other settings (Subnets: 192.168.88.0/24 before, 10.0.0.0/8 now): want the same settings, or --reinstall")
	b.wishes.Reinstall = true
	b.Put("/file", "name", "tailscale-state/tailscaled.state")
	b.must(t, deploy.Reinstall)
	if !b.Has("/container/envs", "value", "10.0.0.0/8") || b.Has("/container/envs", "value", "192.168.88.0/24") {
		t.Error("the settings are not the new ones")
	}
	if !b.Has("/file", "name", "tailscale-state/tailscaled.state") {
		t.Error("the state is gone")
	}
	b.must(t, deploy.Nothing)
}

func TestAReinstallationLeavesNothingOfTheOldSettings(t *testing.T) {
	b := newBench(t)
	b.Put("/disk", "slot", "usb1", "type", "hardware", "free", int64(1<<30))
	b.Put("/file", "name", "usb1")
	o := &b.wishes.Options
	b.key = "k"
	o.Disk, o.Addresses, o.Gateways = "usb1", append(o.Addresses, "fd00:9::2/64"), append(o.Gateways, "fd00:9::1")
	b.must(t, deploy.Install)
	*o = routeros.Default()
	o.Disk = "disk1"
	b.wishes.Reinstall, b.key = true, ""
	p, _, err := b.run()
	if err != nil || p.Options.AuthKeyFile || p.Action != deploy.Reinstall || !slices.Contains(p.Notes, "the state stays in usb1/tailscale-state, so the router logs in as a new machine") {
		t.Errorf("plan %+v: %v", p, err)
	}
	for _, menu := range []string{"/ipv6/address", "/ipv6/route", "/ipv6/firewall/nat"} {
		if left := b.Tables[menu]; len(left) > 0 {
			t.Errorf("%s has %v", menu, left[0].Values)
		}
	}
	for _, e := range b.Tables["/file"] {
		if name := e.Values["name"].(string); strings.HasPrefix(name, "usb1/") && !strings.HasPrefix(name, "usb1/tailscale-state") {
			t.Errorf("%s is left over", name)
		}
	}
	b.must(t, deploy.Nothing)
}

func TestAnInstallationThatWasCutShortIsRepaired(t *testing.T) {
	b := newBench(t)
	p, err := b.plan()
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := routeros.New(p.Options)
	if err != nil {
		t.Fatal(err)
	}
	b.Put("/file", "name", p.Options.Tarball).Content = []byte("v1")
	b.CutAt = 6
	if err := b.Run(scripts[0].Text); err == nil {
		t.Fatal("the power did not fail")
	}
	b.Boot()
	b.must(t, deploy.Reinstall)
	b.expectRunning(t, "v1")
	b.noUploads(t)
}

func TestTheConnectionIsLost(t *testing.T) {
	const name = "tailscale-load/image.tar"
	t.Run("during the upload", func(t *testing.T) {
		b := newBench(t)
		b.OnUpload = func(s *routertest.Server, file string, _ int) {
			if file == name {
				s.Disconnect()
			}
		}
		b.fails(t, "uploading tailscale-load/image.tar: the connection to the router was lost")
	})
	t.Run("while the install script runs", func(t *testing.T) {
		b := newBench(t)
		cut := false
		b.OnImport = func(s *routertest.Server, script string) {
			if !cut && strings.Contains(script, "install") {
				cut = true
				s.Disconnect()
			}
		}
		b.fails(t, "installing: the connection to the router was lost")
	})
	t.Run("for good", func(t *testing.T) {
		b := newBench(t)
		b.OnUpload = func(s *routertest.Server, file string, _ int) {
			if file == name {
				s.Vanish()
			}
		}
		_, _, err := b.run()
		if err == nil || !strings.Contains(err.Error(), "the connection to the router was lost") || !strings.Contains(err.Error(), "run the same command again to remove the rest") {
			t.Errorf("error = %v", err)
		}
		b.Finish()
		// It does, after the router is back.
		back := newBench(t)
		back.Router.Tables, back.OnUpload = b.Tables, nil
		back.Router.Pull = func(string) (string, error) { return "v1", nil }
		back.key = "k"
		back.must(t, deploy.Install)
		back.noUploads(t)
	})
}

func TestAnInterruptionRemovesWhatWasAdded(t *testing.T) {
	for name, interrupt := range map[string]func(*bench, func()){
		"during the upload": func(b *bench, stop func()) {
			b.OnUpload = func(_ *routertest.Server, name string, _ int) {
				if strings.HasSuffix(name, "image.tar") {
					stop()
				}
			}
		},
		"while the install script runs": func(b *bench, stop func()) {
			b.OnImport = func(_ *routertest.Server, name string) {
				if strings.Contains(name, "install") {
					stop()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.key = "k"
			ctx, stop := context.WithCancel(t.Context())
			b.ctx = ctx
			interrupt(b, stop)
			b.fails(t, "interrupted, everything that was added has been removed")
		})
	}
}

func TestLogins(t *testing.T) {
	t.Run("wrong password", func(t *testing.T) {
		b := newBench(t)
		b.access.Password = password("wrong")
		b.fails(t, `the router refused the login of "admin" with the password`)
	})
	t.Run("no password", func(t *testing.T) {
		b := newBench(t)
		b.access.Password = func(string) (string, error) { return "", errors.New("nobody to ask") }
		b.fails(t, "nobody to ask")
	})
	t.Run("nothing", func(t *testing.T) {
		b := newBench(t)
		b.access.Password = nil
		b.fails(t, "nothing to log in with: want an SSH agent, a key file or a password")
	})
	t.Run("key", func(t *testing.T) {
		b := newBench(t)
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			t.Fatal(err)
		}
		b.access.Password, b.access.Signers, b.Key = nil, []ssh.Signer{signer}, signer.PublicKey()
		b.must(t, deploy.Install)
		b.Key = b.HostKey
		b.fails(t, `the router refused the login of "admin" with 1 keys`)
	})
}

func TestOnlyKnownRoutersAreTrusted(t *testing.T) {
	stranger, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strange, err := ssh.NewPublicKey(stranger)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("another key", func(t *testing.T) {
		b := newBench(t)
		path := filepath.Join(t.TempDir(), "known_hosts")
		must(os.WriteFile(path, []byte(knownhosts.Line([]string{b.Address}, strange)+"\n"), 0o600))
		b.access.HostKeys = hostKeys(t, path, func(string) (bool, error) { t.Error("asked about a changed key"); return true, nil })
		b.fails(t, "has changed to ssh-ed25519 "+ssh.FingerprintSHA256(b.HostKey))
	})
	t.Run("unknown", func(t *testing.T) {
		b := newBench(t)
		b.access.HostKeys = hostKeys(t, filepath.Join(t.TempDir(), "none"), nil)
		b.fails(t, ": ssh-ed25519 "+ssh.FingerprintSHA256(b.HostKey)+"; if it is right, add it to ")
	})
	for answer, want := range map[bool]string{true: "", false: "was not accepted"} {
		t.Run(fmt.Sprintf("asked, and it is %v", answer), func(t *testing.T) {
			b := newBench(t)
			path := filepath.Join(t.TempDir(), "new", "known_hosts")
			asked := 0
			b.access.HostKeys = hostKeys(t, path, func(question string) (bool, error) {
				asked++
				if !strings.Contains(question, ssh.FingerprintSHA256(b.HostKey)) {
					t.Errorf("the question is %q", question)
				}
				return answer, nil
			})
			if answer {
				b.must(t, deploy.Install)
				// The file contains the key now.
				b.access.HostKeys = hostKeys(t, path, nil)
				b.must(t, deploy.Nothing)
			} else {
				b.fails(t, want)
			}
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// The test compares the texts with the image's source.
func TestTheLoginIsFoundInTheImagesOwnMessages(t *testing.T) {
	source, err := os.ReadFile("../../daemon/supervisor/follow.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{`"to log this router in, visit %s"`, `asks somebody to log in at "`, `"not logged in: %s; trying again`, "waiting for approval"} {
		if !strings.Contains(string(source), words) {
			t.Errorf("the image no longer says %s", words)
		}
	}
}
