package routeros

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/routeros/routertest"
)

// shop is a registry with one image for arm64 and one for ARMv7, which a test can change.
type shop struct {
	*httptest.Server
	digest string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{digest: "sha256:" + strings.Repeat("1", 64)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.digest == "" || r.URL.Path != "/v2/me/tailscale/manifests/stable" {
			http.Error(w, "gone", http.StatusNotFound)
			return
		}
		_, _ = fmt.Fprintf(w, `{"manifests": [
			{"digest": "sha256:%s", "platform": {"architecture": "amd64"}},
			{"digest": "sha256:%s", "platform": {"architecture": "arm", "variant": "v5"}},
			{"digest": %q, "platform": {"architecture": "arm64"}}]}`, strings.Repeat("a", 64), strings.Repeat("5", 64), s.digest)
	}))
	t.Cleanup(s.Close)
	return s
}

// options returns options with an image in the shop.
func (s *shop) options() Options {
	o := Default()
	o.Image, o.Insecure = strings.TrimPrefix(s.URL, "http://")+"/me/tailscale:stable", true
	return o
}

// release changes the images in the shop.
func (s *shop) release(r *router, id string) {
	s.digest = "sha256:" + strings.Repeat(id, 64)
	r.Pull = func(string) (string, error) { return id, nil }
}

func scripts(t testing.TB, o Options) map[string]string {
	t.Helper()
	all, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, s := range all {
		texts[s.Kind] = s.Text
	}
	return texts
}

type (
	router = routertest.Router
	entry  = routertest.Entry
)

func newRouter(minor int) *router { return routertest.New(minor) }

// run imports a script, which must have a syntax that RouterOS accepts.
func run(t testing.TB, r *router, script string) error {
	t.Helper()
	err := r.Run(script)
	if errors.As(err, new(routertest.SyntaxError)) {
		t.Fatalf("the script does not parse: %v\n%s", err, script)
	}
	return err
}

func must(t *testing.T, r *router, script string) {
	t.Helper()
	if err := run(t, r, script); err != nil {
		t.Fatalf("%v\nlog: %q", err, r.Log)
	}
}

func expectRunning(t *testing.T, r *router, want ...string) {
	t.Helper()
	if got := r.Running(); !slices.Equal(got, want) {
		t.Errorf("running: %q; want %q", got, want)
	}
	if r.Fights > 0 {
		t.Errorf("two containers ran with the same state for %d seconds", r.Fights)
	}
}

// variants are installations that add different things to the router.
func variants(t *testing.T) map[string]Options {
	s := newShop(t)
	all := map[string]Options{"plain": s.options()}
	change := func(name string, f func(*Options)) {
		o := s.options()
		f(&o)
		all[name] = o
	}
	change("everything", func(o *Options) {
		o.Disk, o.ExitNode, o.Masquerade, o.Firewall, o.ClampMSS, o.InterfaceList = "disk1", true, true, true, true, "LAN"
		o.Addresses, o.Gateways = []string{"10.9.8.2/30", "fd00:9::2/64"}, []string{"10.9.8.1", "fd00:9::1"}
		o.Subnets, o.Hostname, o.DNS, o.Memory = []string{"192.168.88.0/24"}, "home", []string{"9.9.9.9"}, 128
		o.UpdateAt, o.AuthKeyFile, o.RouterOS = "04:30", true, "7.24"
		o.RemoteSubnets, o.Port = []string{"192.168.89.0/24", "10.0.0.0/16", "fd89::/64"}, 41641
		o.MagicDNS = []string{"ts.net", "tail.example"}
	})
	change("restarting", func(o *Options) { o.RouterOS = "7.23" })
	change("bridge", func(o *Options) {
		o.Bridge, o.Addresses, o.Gateways = "bridge", []string{"192.168.88.2/24"}, []string{"192.168.88.1"}
		o.Tmpfs, o.MagicDNS, o.InPlace = 0, nil, true
	})
	change("memory", func(o *Options) {
		o.Root, o.Disk, o.RouterOS, o.UpdateAt, o.Hostname, o.AuthKeyFile = RootMemory, "disk1", "7.24", "04:30", "home", true
	})
	change("memory and tarball", func(o *Options) {
		o.Root, o.Image, o.Insecure, o.Tarball = RootMemory, "", false, "disk1/tailscale.tar"
	})
	change("tarball", func(o *Options) { o.Image, o.Insecure, o.Tarball = "", false, "disk1/tailscale.tar" })
	return all
}

func ready(o Options) *router {
	r := newRouter(24)
	r.Put("/file", "name", "disk1/tailscale.tar", "size", int64(5<<20), "last-modified", "2026-01-01 00:00:00")
	r.Put("/file", "name", o.path("state"))
	r.Put("/file", "name", o.path("state")+"/authkey")
	r.Put("/file", "name", "disk1/tailscale-update.rsc")
	if o.Root == RootMemory {
		r.Put("/file", "name", newData(o).StartFile)
	}
	return r
}

func TestRemovalUndoesWhatWasInstalled(t *testing.T) {
	for name, o := range variants(t) {
		t.Run(name, func(t *testing.T) {
			r, s := ready(o), scripts(t, o)
			before := r.Snapshot()
			must(t, r, s["install"])
			r.Wait(5)
			expectRunning(t, r, "image")
			if r.Snapshot() == before {
				t.Error("nothing was installed")
			}
			must(t, r, s["remove"])
			if after := r.Snapshot(); after != before {
				t.Errorf("after the removal:\n%s\nbefore the installation:\n%s", after, before)
			}
			must(t, r, s["remove"])
		})
	}
}

func TestTheStateIsRemovedOnlyWhenAskedFor(t *testing.T) {
	o := newShop(t).options()
	r, s := newRouter(21), scripts(t, o)
	before := r.Snapshot()
	must(t, r, s["install"])
	must(t, r, s["remove"])
	if !r.Has("/file", "name", "tailscale-state") {
		t.Error("the state is gone")
	}
	must(t, r, s["install"])
	all := strings.Replace(s["remove"], ":local keepState true", ":local keepState false", 1)
	must(t, r, all)
	if after := r.Snapshot(); after != before {
		t.Errorf("after the removal:\n%s\nbefore the installation:\n%s", after, before)
	}
}

// RouterOS starts a container once at boot, and a USB disk may appear later.
func TestTheContainerWaitsForItsDisk(t *testing.T) {
	for name, c := range map[string]struct {
		disk, release string
		away          int
		entry         bool
	}{
		"an hour":              {"disk1", "7.21", 3600, true},
		"a minute":             {"disk1", "7.22.3", 60, true},
		"no time":              {"disk1", "7.22.3", 0, true},
		"a directory on it":    {"disk1/apps", "7.21", 100, true},
		"a restart policy":     {"disk1", "7.23", 0, false},
		"the flash":            {"flash", "7.21", 0, false},
		"a directory in flash": {"flash/apps", "7.21", 0, false},
		"no disk":              {"", "7.21", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newShop(t).options()
			o.Disk, o.RouterOS = c.disk, c.release
			r, s := newRouter(24), scripts(t, o)
			if c.disk != "" && c.disk != "disk1" {
				r.Put("/file", "name", c.disk)
			}
			if top := diskOf(c.disk); top != "" && !r.Has("/file", "name", top) {
				r.Put("/file", "name", top)
			}
			before := r.Snapshot()
			must(t, r, s["install"])
			if got := r.Has("/system/scheduler", "name", "tailscale-start"); got != c.entry {
				t.Fatalf("scheduler entry: %v; want %v", got, c.entry)
			}
			if c.away > 0 {
				r.Unplug("disk1", c.away)
			}
			r.Boot()
			r.Wait(10)
			if c.away > 0 {
				expectRunning(t, r)
			}
			for _, e := range r.Tables["/system/scheduler"] {
				if e.Values["start-time"] != "startup" {
					t.Errorf("it runs at %v", e.Values["start-time"])
				}
				must(t, r, e.Values["on-event"].(string))
			}
			expectRunning(t, r, "image")
			if c.away == 0 && c.entry && r.Starts != 2 {
				t.Errorf("the container was started %d times", r.Starts)
			}
			must(t, r, strings.Replace(s["remove"], "keepState true", "keepState false", 1))
			if after := r.Snapshot(); after != before {
				t.Errorf("after the removal:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// Whatever command of an installation fails, the removal restores the router.
func TestAFailedInstallationCanBeRemoved(t *testing.T) {
	for name, o := range variants(t) {
		t.Run(name, func(t *testing.T) {
			s := scripts(t, o)
			for step := 1; ; step++ {
				r := ready(o)
				before := r.Snapshot()
				r.FailAt = step
				err := run(t, r, s["install"])
				if r.Changes < step {
					if step < 6 {
						t.Errorf("the installation has %d steps", r.Changes)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), "Run tailscale-remove.rsc to remove what was added") || !strings.Contains(err.Error(), "it does not work") {
					t.Fatalf("step %d: error = %v", step, err)
				}
				if after := r.Snapshot(); after != before {
					if again := run(t, r, s["install"]); again == nil {
						t.Errorf("step %d: the installation ignored the leftovers", step)
					}
				}
				must(t, r, s["remove"])
				if after := r.Snapshot(); after != before {
					t.Fatalf("step %d: after the removal:\n%s\nbefore:\n%s", step, after, before)
				}
			}
		})
	}
}

// If a removal fails in one place, it continues with the rest and says so. The next removal completes it.
func TestAFailedRemovalCanBeRepeated(t *testing.T) {
	o := variants(t)["everything"]
	s := scripts(t, o)
	for step := 1; ; step++ {
		r := ready(o)
		before := r.Snapshot()
		must(t, r, s["install"])
		r.Wait(3)
		r.Changes, r.FailAt = 0, step
		err := run(t, r, s["remove"])
		if r.Changes < step {
			return
		}
		if after := r.Snapshot(); err == nil && after != before {
			t.Errorf("step %d: something is left over, but nothing was printed", step)
		}
		// The interface marks an installation for the other scripts.
		if after := r.Snapshot(); after != before && len(r.Tables["/interface/veth"]) == 0 {
			t.Errorf("step %d: the interface is removed, and this is left:\n%s", step, after)
		}
		must(t, r, s["remove"])
		if after := r.Snapshot(); after != before {
			t.Fatalf("step %d: after the removal:\n%s\nbefore:\n%s", step, after, before)
		}
	}
}

func TestInstallationsAreRefusedBeforeAnythingChanges(t *testing.T) {
	o := newShop(t).options()
	lan := o
	lan.Bridge = "br\"idge$"
	disk := o
	disk.Disk = "usb1"
	key := o
	key.AuthKeyFile = true
	daily := o
	daily.UpdateAt = "04:30"
	six := o
	six.Addresses, six.Gateways = []string{"10.9.8.2/30", "fd00:9::2/64"}, []string{"10.9.8.1", "fd00:9::1"}
	six.RemoteSubnets = []string{"fd89::/64"}
	for name, c := range map[string]struct {
		options Options
		spoil   func(*router)
		want    string
	}{
		"an old release":             {o, func(r *router) { r.Singles["/system/resource"]["version"] = "7.20.8 (long-term)" }, "needs RouterOS 7.21 or later, but this router has 7.20.8 (long-term)"},
		"an older release":           {o, func(r *router) { r.Singles["/system/resource"]["version"] = "6.49.18 (long-term)" }, "7.21 or later"},
		"no package":                 {o, func(r *router) { r.Tables["/system/package"] = nil }, "the container package is not installed"},
		"a disabled package":         {o, func(r *router) { r.Tables["/system/package"][0].Flags["disabled"] = true }, "the container package is not installed"},
		"fetch is off":               {o, func(r *router) { r.Singles["/system/device-mode"]["fetch"] = false }, "/system/device-mode/update fetch=yes"},
		"the scheduler is off":       {daily, func(r *router) { r.Singles["/system/device-mode"]["scheduler"] = false }, "/system/device-mode/update scheduler=yes"},
		"containers are off":         {o, func(r *router) { r.Singles["/system/device-mode"]["container"] = false }, "/system/device-mode/update container=yes"},
		"the name is taken":          {o, func(r *router) { r.Put("/interface/veth", "name", "veth-tailscale") }, "the interface veth-tailscale already exists"},
		"a list is taken":            {o, func(r *router) { r.Put("/container/envs", "list", "tailscale") }, "the list of variables tailscale already exists"},
		"mounts are taken":           {o, func(r *router) { r.Put("/container/mounts", "list", "tailscale") }, "the list of mounts tailscale already exists"},
		"the route is there":         {o, func(r *router) { r.Put("/ip/route", "dst-address", "100.64.0.0/10") }, "a route to 100.64.0.0/10 already exists"},
		"the address is used":        {o, func(r *router) { r.Put("/ip/address", "address", "172.31.255.253/30") }, "the address 172.31.255.253 is already in use"},
		"the IPv6 route is there":    {six, func(r *router) { r.Put("/ipv6/route", "dst-address", "fd7a:115c:a1e0::/48") }, "a route to fd7a:115c:a1e0::/48 already exists"},
		"the IPv6 address is used":   {six, func(r *router) { r.Put("/ipv6/address", "address", "fd00:9::1/64") }, "the address fd00:9::1 is already in use"},
		"the IPv6 network is routed": {six, func(r *router) { r.Put("/ipv6/route", "dst-address", "fd89::/64") }, "a route to fd89::/64 already exists"},
		"no interface list":          {o, func(r *router) { r.Tables["/interface/list"] = nil }, "there is no interface list WAN"},
		"no name server":             {o, func(r *router) { r.Singles["/ip/dns"]["dynamic-servers"] = "" }, "the router has no name server"},
		"a directory flash":          {o, func(r *router) { r.Put("/file", "name", "flash") }, "--disk flash"},
		"no bridge":                  {lan, func(*router) {}, `there is no bridge br"idge$`},
		"no disk":                    {disk, func(*router) {}, "there is no disk or directory usb1"},
		"no key":                     {key, func(*router) {}, "there is no file tailscale-state/authkey"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(24)
			c.spoil(r)
			before := r.Snapshot()
			err := run(t, r, scripts(t, c.options)["install"])
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to contain %q", err, c.want)
			}
			if r.Changes > 0 || r.Snapshot() != before {
				t.Error("the router was changed")
			}
		})
	}
}

func TestASecondInstallationIsRefused(t *testing.T) {
	o := newShop(t).options()
	r, s := newRouter(24), scripts(t, o)
	must(t, r, s["install"])
	before := r.Snapshot()
	if err := run(t, r, s["install"]); err == nil || !strings.Contains(err.Error(), "already installed") {
		t.Errorf("error = %v", err)
	}
	if r.Snapshot() != before {
		t.Error("the router was changed")
	}
}

func TestTwoInstallationsDoNotTouchEachOther(t *testing.T) {
	shop := newShop(t)
	first := shop.options()
	second := shop.options()
	// One name is the beginning of the other.
	second.Name, second.Addresses, second.Gateways = "tailscale2", []string{"10.0.0.2/30"}, []string{"10.0.0.1"}
	r, a, b := newRouter(24), scripts(t, first), scripts(t, second)
	must(t, r, a["install"])
	before := r.Snapshot()
	// Both would add the route to the tailnet, which can only exist once.
	r.Tables["/ip/route"][0].Values["dst-address"] = "elsewhere"
	must(t, r, b["install"])
	must(t, r, b["remove"])
	r.Tables["/ip/route"][0].Values["dst-address"] = "100.64.0.0/10"
	r.Tables["/file"] = slices.DeleteFunc(r.Tables["/file"], func(e *entry) bool { return e.Values["name"] == "tailscale2-state" })
	if after := r.Snapshot(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

func TestAnUnreachableRegistryChangesNothing(t *testing.T) {
	shop := newShop(t)
	r, s := newRouter(24), scripts(t, shop.options())
	before := r.Snapshot()
	shop.digest = ""
	if err := run(t, r, s["install"]); err == nil || !strings.Contains(err.Error(), "Status 404") {
		t.Errorf("error = %v", err)
	}
	if r.Snapshot() != before {
		t.Error("the router was changed")
	}
}

func TestAnUpdateHappensOnlyOnAChange(t *testing.T) {
	shop := newShop(t)
	r, s := newRouter(24), scripts(t, shop.options())
	shop.release(r, "1")
	must(t, r, s["install"])
	r.Changes = 0
	must(t, r, s["update"])
	if r.Changes != 0 || !slices.Contains(r.Said, "tailscale is up to date") {
		t.Errorf("%d changes, said %q", r.Changes, r.Said)
	}
	for _, id := range []string{"2", "3", "4"} {
		shop.release(r, id)
		must(t, r, s["update"])
		expectRunning(t, r, id)
		if n := len(r.Tables["/container"]); n != 1 {
			t.Errorf("%d containers", n)
		}
		c := r.Tables["/container"][0]
		if c.Values["name"] != "tailscale" || c.Values["comment"] != "mikrotik-tailscale:tailscale "+shop.digest || c.Values["start-on-boot"] != true {
			t.Errorf("the container is %v", c.Values)
		}
		if !r.Has("/file", "name", "tailscale-state") {
			t.Error("the state is gone")
		}
	}
	must(t, r, s["remove"])
	if len(r.Tables["/container"]) > 0 {
		t.Error("an updated container is not removed")
	}
}

func TestATarballIsTakenWhenItChanged(t *testing.T) {
	o := Default()
	o.Tarball = "disk1/tailscale.tar"
	r, s := ready(o), scripts(t, o)
	must(t, r, s["install"])
	must(t, r, s["update"])
	if r.Said[len(r.Said)-1] != "tailscale is up to date" {
		t.Errorf("said %q", r.Said)
	}
	i := slices.IndexFunc(r.Tables["/file"], func(e *entry) bool { return e.Values["name"] == o.Tarball })
	r.Tables["/file"][i].Values["last-modified"] = "2026-02-02 00:00:00"
	r.Pull = func(string) (string, error) { return "newer", nil }
	must(t, r, s["update"])
	expectRunning(t, r, "newer")
}

func TestATarballWithAChecksumIsKnownByIt(t *testing.T) {
	o := Default()
	o.Tarball, o.Checksum = "disk1/tailscale.tar", "sha256:"+strings.Repeat("1", 64)
	r := ready(o)
	must(t, r, scripts(t, o)["install"])
	// The same tarball, copied to the router again, has another date.
	i := slices.IndexFunc(r.Tables["/file"], func(e *entry) bool { return e.Values["name"] == o.Tarball })
	r.Tables["/file"][i].Values["last-modified"] = "2026-02-02 00:00:00"
	must(t, r, scripts(t, o)["update"])
	if r.Said[len(r.Said)-1] != "tailscale is up to date" {
		t.Errorf("said %q", r.Said)
	}
	o.Checksum = "sha256:" + strings.Repeat("2", 64)
	r.Pull = func(string) (string, error) { return "newer", nil }
	must(t, r, scripts(t, o)["update"])
	expectRunning(t, r, "newer")
	if comment := r.Tables["/container"][0].Values["comment"]; comment != o.Mark()+" "+o.Checksum {
		t.Errorf("the container's comment is %q", comment)
	}
}

func TestAFailedUpdateLeavesTheOldContainerRunning(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*router, *shop)
		want  string
	}{
		"the registry is away":      {func(_ *router, s *shop) { s.digest = "" }, "Status 404"},
		"no image for the router":   {func(r *router, _ *shop) { r.Singles["/system/resource"]["architecture-name"] = "arm" }, "has no image for armv7"},
		"the download breaks off":   {func(r *router, _ *shop) { r.Pull = func(string) (string, error) { return "", errors.New("broken") } }, "could not be fetched or unpacked"},
		"nothing was unpacked":      {func(r *router, _ *shop) { r.Pull = func(string) (string, error) { return "", nil } }, "could not be fetched or unpacked"},
		"the new image crashes":     {func(r *router, _ *shop) { r.Crashes["2"] = true }, "the old one was started again"},
		"there is too little space": {func(r *router, _ *shop) { r.Singles["/system/resource"]["free-hdd-space"] = int64(5 << 20) }, "--in-place"},
	} {
		t.Run(name, func(t *testing.T) {
			shop := newShop(t)
			r, s := newRouter(24), scripts(t, shop.options())
			shop.release(r, "1")
			must(t, r, s["install"])
			installed := r.Snapshot()
			shop.release(r, "2")
			c.spoil(r, shop)
			err := run(t, r, s["update"])
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to contain %q", err, c.want)
			}
			if len(r.Log) == 0 || !strings.Contains(r.Log[len(r.Log)-1], c.want) {
				t.Errorf("log: %q; want it to contain %q", r.Log, c.want)
			}
			r.Wait(10)
			expectRunning(t, r, "1")
			r.Singles["/system/resource"]["architecture-name"], r.Singles["/system/resource"]["free-hdd-space"] = "arm64", int64(8<<20)
			if after := r.Snapshot(); after != installed {
				t.Errorf("after:\n%s\nbefore:\n%s", after, installed)
			}
			r.Crashes = map[string]bool{}
			shop.release(r, "3")
			must(t, r, s["update"])
			expectRunning(t, r, "3")
		})
	}
}

// logsIn has the states that the daemons of images report, and whether an update accepts such an image.
var logsIn = map[string]struct {
	prepare func(*router)
	taken   bool
}{
	"the new one logs in":             {func(*router) {}, true},
	"the new one takes long":          {func(r *router) { r.Late["2"] = 110 }, true},
	"the new one takes too long":      {func(r *router) { r.Late["2"] = 150 }, false},
	"the new one does not":            {func(r *router) { r.States["2"] = "NeedsLogin" }, false},
	"the new one hangs":               {func(r *router) { r.Hangs["2"] = true }, false},
	"neither does":                    {func(r *router) { r.States["1"], r.States["2"] = "NeedsLogin", "NeedsLogin" }, true},
	"the old one hangs":               {func(r *router) { r.Hangs["1"], r.States["2"] = true, "NeedsLogin" }, true},
	"nobody can ask, and it stays up": {func(r *router) { r.Mute, r.States["2"] = true, "NeedsLogin" }, true},
}

// Some releases start but don't work. An image replaces one that was logged in only if it also logs in.
func TestAnUpdateNeedsALogin(t *testing.T) {
	for name, c := range logsIn {
		for _, release := range []string{"7.21", "7.24"} {
			t.Run(name+" "+release, func(t *testing.T) {
				shop := newShop(t)
				o := shop.options()
				o.RouterOS = release
				r, s := newRouter(24), scripts(t, o)
				shop.release(r, "1")
				must(t, r, s["install"])
				r.Wait(60)
				installed := r.Snapshot()
				shop.release(r, "2")
				c.prepare(r)
				err := run(t, r, s["update"])
				r.Wait(60)
				if c.taken {
					if err != nil {
						t.Error(err)
					}
					expectRunning(t, r, "2")
					return
				}
				const want = "tailscale could not be updated: the new image was not logged in after two minutes, so the old one was started again"
				if err == nil || err.Error() != want || r.Log[len(r.Log)-1] != "error: "+want {
					t.Errorf("error = %v, log %q; want both to be %q", err, r.Log, want)
				}
				expectRunning(t, r, "1")
				if after := r.Snapshot(); after != installed {
					t.Errorf("after:\n%s\nbefore:\n%s", after, installed)
				}
			})
		}
	}
}

// Without the old image there is no rollback, only a line in the log.
func TestAnUpdateInPlaceReportsALoginThatFails(t *testing.T) {
	shop := newShop(t)
	o := shop.options()
	o.InPlace = true
	r, s := newRouter(24), scripts(t, o)
	shop.release(r, "1")
	must(t, r, s["install"])
	r.Wait(60)
	shop.release(r, "2")
	r.States["2"] = "NeedsLogin"
	must(t, r, s["update"])
	expectRunning(t, r, "2")
	if want := "warning: tailscale was updated, but was not logged in after two minutes"; !slices.Contains(r.Log, want) {
		t.Errorf("log: %q", r.Log)
	}
}

// RouterOS restarts containers whose health check fails. Only a daemon that hangs may fail it, because a restart
// doesn't help a router that is logged out.
func TestOnlyADaemonThatHangsIsRestarted(t *testing.T) {
	for _, release := range []string{"7.21", "7.22", "7.23", "7.24"} {
		t.Run(release, func(t *testing.T) {
			o := newShop(t).options()
			o.RouterOS = release
			restarted := func(spoil func(*router)) int {
				r := newRouter(24)
				must(t, r, scripts(t, o)["install"])
				r.Wait(3600)
				spoil(r)
				r.Starts = 0
				r.Wait(3600)
				return r.Starts
			}
			for _, state := range []string{"NeedsLogin", "NoState", "Stopped", "Starting", "NeedsMachineAuth"} {
				if n := restarted(func(r *router) { r.States["image"] = state }); n > 0 {
					t.Errorf("a daemon in the state %s was restarted %d times in an hour", state, n)
				}
			}
			want := release >= "7.23"
			if n := restarted(func(r *router) { r.Hangs["image"] = true }); (n > 0) != want {
				t.Errorf("a daemon that hangs was restarted %d times in an hour", n)
			}
		})
	}
}

// Above the soft memory limit a container gets slower. At the hard limit it is killed.
func TestTheHardLimitOfMemoryIsAboveTheSoftOne(t *testing.T) {
	o := newShop(t).options()
	o.Memory = 64
	for _, release := range []string{"7.22", "7.23"} {
		o.RouterOS = release
		r := newRouter(24)
		must(t, r, scripts(t, o)["install"])
		c := r.Tables["/container"][0].Values
		if c["memory-high"] != int64(64<<20) || (release == "7.23") != (c["memory-max"] == int64(96<<20)) {
			t.Errorf("%s: memory-high %v, memory-max %v", release, c["memory-high"], c["memory-max"])
		}
	}
}

// Whenever the power fails, the router boots with one running image, except during the moment of the switch. The next
// run completes the update.
func TestAnUpdateSurvivesPowerFailures(t *testing.T) {
	for _, release := range []string{"7.21", "7.24"} {
		t.Run(release, func(t *testing.T) { survivesPowerFailures(t, release) })
	}
}

func survivesPowerFailures(t *testing.T, release string) {
	shop := newShop(t)
	o := shop.options()
	o.RouterOS = release
	s := scripts(t, o)
	down := 0
	for step := 1; ; step++ {
		r := newRouter(24)
		shop.release(r, "1")
		must(t, r, s["install"])
		shop.release(r, "2")
		r.Changes, r.CutAt = 0, step
		err := run(t, r, s["update"])
		if r.CutAt > 0 && r.Changes < step {
			if err != nil || step < 8 {
				t.Errorf("the update has %d steps (%v)", r.Changes, err)
			}
			break
		}
		r.Boot()
		switch n := len(r.Running()); {
		case n > 1:
			t.Errorf("step %d: %q run", step, r.Running())
		case n == 0:
			down++
		}
		must(t, r, s["update"])
		r.Wait(30)
		expectRunning(t, r, "2")
		if n := len(r.Tables["/container"]); n != 1 {
			t.Fatalf("step %d: %d containers", step, n)
		}
		if policy := r.Tables["/container"][0].Values["restart-policy"]; release >= "7.23" && policy != "always" {
			t.Errorf("step %d: the restart policy is %v", step, policy)
		}
	}
	if down > 1 {
		t.Errorf("at %d steps a power failure leaves nothing running", down)
	}
}

// The same while the new image is on trial and does not log in. The router boots with the old image. RouterOS
// restarts that image as before, at the latest after the next run.
func TestARollbackSurvivesPowerFailures(t *testing.T) {
	shop := newShop(t)
	o := shop.options()
	o.RouterOS = "7.24"
	s := scripts(t, o)
	for step := 1; ; step++ {
		r := newRouter(24)
		shop.release(r, "1")
		must(t, r, s["install"])
		r.Wait(60)
		shop.release(r, "2")
		r.States["2"] = "NeedsLogin"
		r.Changes, r.CutAt = 0, step
		err := run(t, r, s["update"])
		if r.Changes < step {
			if err == nil || step < 6 {
				t.Errorf("the update has %d steps (%v)", r.Changes, err)
			}
			return
		}
		r.Boot()
		r.Wait(60)
		expectRunning(t, r, "1")
		// The release is withdrawn.
		shop.release(r, "1")
		must(t, r, s["update"])
		r.Wait(60)
		expectRunning(t, r, "1")
		if n, policy := len(r.Tables["/container"]), r.Tables["/container"][0].Values["restart-policy"]; n != 1 || policy != "always" {
			t.Errorf("step %d: %d containers, the restart policy is %v", step, n, policy)
		}
	}
}

// Without space for two images, the container is missing for a while. A later run restores it.
func TestAnUpdateInPlaceCanBeRepeated(t *testing.T) {
	shop := newShop(t)
	o := shop.options()
	o.InPlace, o.RouterOS = true, "7.24"
	s := scripts(t, o)
	for step := 1; ; step++ {
		r := newRouter(24)
		r.Singles["/system/resource"]["free-hdd-space"] = int64(1 << 20)
		shop.release(r, "1")
		must(t, r, s["install"])
		shop.release(r, "2")
		r.Changes, r.CutAt = 0, step
		_ = run(t, r, s["update"])
		finished := r.Changes < step
		r.Boot()
		must(t, r, s["update"])
		r.Wait(10)
		expectRunning(t, r, "2")
		if finished {
			return
		}
	}
}

func TestAnUpdateNeedsAnInstallation(t *testing.T) {
	r := newRouter(24)
	if err := run(t, r, scripts(t, newShop(t).options())["update"]); err == nil || !strings.Contains(err.Error(), "it is not installed") {
		t.Errorf("error = %v", err)
	}
}

// A directory that the user has chosen for unpacking doesn't change.
func TestAChosenDirectoryForUnpackingStays(t *testing.T) {
	r, s := newRouter(24), scripts(t, newShop(t).options())
	r.Singles["/container/config"]["tmpdir"] = "/disk1/pull"
	must(t, r, s["install"])
	must(t, r, s["remove"])
	if got := r.Singles["/container/config"]["tmpdir"]; got != "/disk1/pull" || len(r.Tables["/disk"]) > 0 {
		t.Errorf("tmpdir = %v, disks %v", got, r.Tables["/disk"])
	}
}

// Since RouterOS 7.21, the interface has the same name in the container.
func TestTailscaleDoesNotIgnoreTheInterface(t *testing.T) {
	for name, o := range variants(t) {
		r := ready(o)
		must(t, r, scripts(t, o)["install"])
		for _, e := range r.Tables["/interface/veth"] {
			if given := strings.ToLower(e.Values["name"].(string)); strings.HasPrefix(given, "tailscale") {
				t.Errorf("%s: the interface is called %s", name, given)
			}
		}
	}
}

func TestAnExitNodeTranslatesBothFamilies(t *testing.T) {
	o := variants(t)["everything"]
	r := ready(o)
	must(t, r, scripts(t, o)["install"])
	for menu, want := range map[string]string{"/ip/firewall/nat": tailnet.String(), "/ipv6/firewall/nat": tailnetSix.String()} {
		if !slices.ContainsFunc(r.Tables[menu], func(e *entry) bool {
			return e.Values["action"] == "masquerade" && e.Values["src-address"] == want && e.Values["out-interface-list"] == "WAN"
		}) {
			t.Errorf("%s has no rule for packets from %s to the internet", menu, want)
		}
	}
}

// Hosts reach networks behind other routers if the router has a route and the container accepts one.
func TestRemoteNetworksAreReached(t *testing.T) {
	o := variants(t)["everything"]
	o.ExtraArgs, o.Env = "--advertise-tags=tag:router", []string{"TS_TAILSCALED_EXTRA_ARGS=--verbose=1"}
	r := ready(o)
	must(t, r, scripts(t, o)["install"])
	for menu, routes := range map[string][]string{
		"/ip/route":   {"192.168.89.0/24 10.9.8.2", "10.0.0.0/16 10.9.8.2"},
		"/ipv6/route": {"fd89::/64 fd00:9::2"},
	} {
		for _, want := range routes {
			if !slices.ContainsFunc(r.Tables[menu], func(e *entry) bool { return fmt.Sprint(e.Values["dst-address"], " ", e.Values["gateway"]) == want }) {
				t.Errorf("%s has no %s", menu, want)
			}
		}
	}
	for _, want := range []string{"--advertise-exit-node --advertise-tags=tag:router --accept-routes", "--verbose=1 --port=41641"} {
		if !r.Has("/container/envs", "value", want) {
			t.Errorf("no variable has the value %q", want)
		}
	}
	if !slices.ContainsFunc(r.Tables["/ip/firewall/nat"], func(e *entry) bool {
		return e.Values["chain"] == "dstnat" && e.Values["protocol"] == "udp" && e.Values["dst-port"] == int64(41641) &&
			e.Values["in-interface-list"] == "WAN" && e.Values["to-addresses"] == "10.9.8.2"
	}) {
		t.Error("the port is not forwarded")
	}
	again := o
	again.ExtraArgs = "--accept-routes"
	r = ready(again)
	r.Put("/ip/route", "dst-address", "192.168.89.0/24")
	if err := run(t, r, scripts(t, again)["install"]); err == nil || !strings.Contains(err.Error(), "a route to 192.168.89.0/24 already exists; nothing was changed") {
		t.Errorf("error = %v", err)
	}
	r = ready(again)
	must(t, r, scripts(t, again)["install"])
	if want := "--advertise-exit-node --accept-routes"; !r.Has("/container/envs", "value", want) {
		t.Errorf("no variable has the value %q", want)
	}
}

// Both ends of a connection need the segment size, whichever end opens it.
func TestSegmentsAreClampedInBothDirections(t *testing.T) {
	o := variants(t)["everything"]
	r := ready(o)
	must(t, r, scripts(t, o)["install"])
	for menu, mss := range map[string]int64{"/ip/firewall/mangle": 1240, "/ipv6/firewall/mangle": 1220} {
		for _, direction := range []string{"in-interface", "out-interface"} {
			if !slices.ContainsFunc(r.Tables[menu], func(e *entry) bool {
				return e.Values[direction] == "veth-tailscale" && e.Values["chain"] == "forward" && e.Values["action"] == "change-mss" &&
					e.Values["new-mss"] == mss && e.Values["tcp-mss"] == fmt.Sprintf("%d-65535", mss+1)
			}) {
				t.Errorf("%s has no rule with %s for %d bytes: %v", menu, direction, mss, r.Tables[menu])
			}
		}
	}
}

func TestTheMountIsTheImagesVolume(t *testing.T) {
	volumes := recipe.Plan{Target: mustTarget(t), Config: recipe.Default()}.ImageConfig().Volumes
	if _, found := volumes[StateDir]; len(volumes) != 1 || !found {
		t.Errorf("the image keeps its state in %q, the scripts mount %s", volumes, StateDir)
	}
}

func mustTarget(t *testing.T) platform.Target {
	t.Helper()
	target, err := platform.Parse("arm64")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// report returns the part of the diagnosis between the dashes.
func report(t *testing.T, r *router) []string {
	t.Helper()
	begin := slices.Index(r.Said, "----")
	if begin < 0 || r.Said[len(r.Said)-1] != "----" || begin == len(r.Said)-1 {
		t.Fatalf("said %q; want a report between dashes at the end", r.Said)
	}
	lines := r.Said[begin+1 : len(r.Said)-1]
	for _, line := range lines {
		if strings.Contains(line, "could not be read") {
			t.Error(line)
		}
	}
	return lines
}

// People post the report in public.
func TestTheReportHasNoSecrets(t *testing.T) {
	o := variants(t)["everything"]
	o.Name, o.Hostname, o.LoginServer, o.InterfaceList = "secretname", "secret-host", "https://secret.example", "secret-list"
	o.Env, o.MagicDNS, o.ExtraArgs, o.Username = []string{"SECRET=secret-value"}, []string{"secret.example"}, "--advertise-tags=tag:secret", "secret-user"
	r := ready(o)
	r.Put("/interface/list", "name", "secret-list")
	r.Put("/file", "name", "disk1/secretname-update.rsc")
	r.Singles["/container/config"]["username"], r.Singles["/container/config"]["password"] = "secret-user", "secret-password"
	r.Singles["/system/identity"]["name"] = "secret-router"
	s := scripts(t, o)
	must(t, r, s["install"])
	r.Put("/log", "topics", "container,info", "message", "To log in: https://login.tailscale.com/a/secret 100.101.102.103")
	for _, spoil := range []func(){
		func() {}, func() { r.Tables["/ip/route"], r.Tables["/ipv6/route"], r.Tables["/ip/address"] = nil, nil, nil },
		func() { r.States["image"] = "NeedsLogin" }, func() { r.Tables["/container"] = nil },
	} {
		spoil()
		r.Said = nil
		must(t, r, s["diagnose"])
		text := strings.Join(report(t, r), "\n")
		host, _, _ := strings.Cut(o.Image, "/")
		for _, secret := range slices.Concat([]string{"secret", "10.9.8", "fd00:9", "100.101", "login.tailscale", host}, o.Subnets, o.RemoteSubnets) {
			if strings.Contains(text, secret) {
				t.Errorf("the report contains %q:\n%s", secret, text)
			}
		}
	}
}

// The script prints one line for each problem, and changes nothing.
func TestTheDiagnosisNamesTheProblem(t *testing.T) {
	o := variants(t)["everything"]
	first := func(r *router, menu, key string, value any) *entry {
		return r.Tables[menu][slices.IndexFunc(r.Tables[menu], func(e *entry) bool { return e.Values[key] == value })]
	}
	for name, c := range map[string]struct {
		spoil func(*router)
		want  string
	}{
		"nothing":              {func(*router) {}, ""},
		"no package":           {func(r *router) { r.Tables["/system/package"] = nil }, "the container package is not installed"},
		"containers are off":   {func(r *router) { r.Singles["/system/device-mode"]["container"] = false }, "containers are switched off"},
		"the scheduler is off": {func(r *router) { r.Singles["/system/device-mode"]["scheduler"] = false }, "the scheduler is switched off"},
		"1970":                 {func(r *router) { r.Singles["/system/clock"]["date"] = "1970-01-02" }, "the clock says 1970-01-02"},
		"no interface":         {func(r *router) { r.Tables["/interface/veth"] = nil }, "there is no interface veth-tailscale"},
		"no gateway":           {func(r *router) { first(r, "/ip/address", "address", "10.9.8.1/30").Flags["disabled"] = true }, "does not have the address 10.9.8.1"},
		"no route":             {func(r *router) { first(r, "/ip/route", "dst-address", "100.64.0.0/10").Flags["active"] = false }, "no active route to 100.64.0.0/10"},
		"no IPv6 gateway":      {func(r *router) { first(r, "/ipv6/address", "address", "fd00:9::1/64").Flags["disabled"] = true }, "does not have the address fd00:9::1"},
		"no IPv6 NAT":          {func(r *router) { r.Tables["/ipv6/firewall/nat"] = nil }, "no IPv6 NAT rule"},
		"no remote route":      {func(r *router) { r.Drop("/ipv6/route", first(r, "/ipv6/route", "dst-address", "fd89::/64")) }, "no active route to fd89::/64"},
		"no NAT":               {func(r *router) { r.Tables["/ip/firewall/nat"] = nil }, "no NAT rule"},
		"a rule before": {func(r *router) {
			rules := r.Tables["/ip/firewall/filter"]
			i := slices.IndexFunc(rules, func(e *entry) bool { return e.Values["comment"] == "defconf" })
			r.Tables["/ip/firewall/filter"] = slices.Concat(rules[i:i+1], rules[:i], rules[i+1:])
		}, "another rule comes before the container's rules"},
		"no container": {func(r *router) { r.Tables["/container"] = nil }, "there is no container tailscale"},
		"stopped":      {func(r *router) { r.Tables["/container"][0].State = "stopped" }, "the container is stopped"},
		"no image":     {func(r *router) { r.Tables["/container"][0].Values["image-id"] = "" }, "could not be fetched"},
		"logged out":   {func(r *router) { r.States["image"] = "NeedsLogin" }, "not logged in, the daemon says: map[output:NeedsLogin"},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := ready(o), scripts(t, o)
			must(t, r, s["install"])
			r.Wait(60)
			for i := range 12 {
				r.Put("/log", "topics", "container,info", "message", fmt.Sprint("line ", i))
			}
			c.spoil(r)
			before := r.Snapshot()
			r.Changes, r.Said = 0, nil
			must(t, r, s["diagnose"])
			var found []string
			for _, line := range r.Said {
				if strings.HasPrefix(line, "PROBLEM: ") {
					found = append(found, line)
				}
				if strings.HasPrefix(line, "could not") {
					t.Error(line)
				}
			}
			switch {
			case c.want == "" && len(found) > 0, c.want != "" && (len(found) != 1 || !strings.Contains(found[0], c.want)):
				t.Errorf("found %q; want %q", found, c.want)
			}
			if want := fmt.Sprint("problems found: ", len(found)); !slices.Contains(r.Said, want) {
				t.Errorf("said %q; want %q", r.Said, want)
			}
			if tags := strings.Fields(report(t, r)[len(report(t, r))-1]); len(tags) != 1+len(found) || tags[0] != "problems:" {
				t.Errorf("the report has %q, the script found %q", tags, found)
			}
			if !slices.Contains(r.Said, "  line 11") || slices.Contains(r.Said, "  line 1") {
				t.Errorf("said %q; want the last ten lines of the log", r.Said)
			}
			if r.Changes > 0 || r.Snapshot() != before {
				t.Error("the router was changed")
			}
		})
	}
}
