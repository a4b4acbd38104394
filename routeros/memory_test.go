package routeros

import (
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/image/size"
)

// inMemory has the options of an installation in memory, its scripts, and a router with it.
func inMemory(t *testing.T, release string) (*shop, *router, map[string]string) {
	t.Helper()
	shop := newShop(t)
	o := shop.options()
	o.Root, o.RouterOS = RootMemory, release
	r, s := ready(o), scripts(t, o)
	shop.release(r, "1")
	must(t, r, s["install"])
	return shop, r, s
}

// boot cuts the power and runs the scheduled commands.
func boot(t *testing.T, r *router, s map[string]string) {
	t.Helper()
	r.Boot()
	runScheduled(t, r, s)
}

// lack sets a wrong value on the router for some seconds.
func lack(r *router, menu, key string, wrong any, seconds int) {
	right := r.Singles[menu][key]
	r.Singles[menu][key] = wrong
	r.Later(seconds, func() { r.Singles[menu][key] = right })
}

func dropFile(r *router, name string) {
	r.Tables["/file"] = slices.DeleteFunc(r.Tables["/file"], func(e *entry) bool { return e.Values["name"] == name })
}

// runScheduled runs the scheduled commands of the boot, including imports.
func runScheduled(t *testing.T, r *router, s map[string]string) {
	t.Helper()
	for _, e := range r.Tables["/system/scheduler"] {
		if e.Values["start-time"] != "startup" {
			continue
		}
		wait, _, ok := strings.Cut(e.Values["on-event"].(string), "/import file-name=")
		if !ok {
			t.Fatalf("the scheduler runs %q", e.Values["on-event"])
		}
		must(t, r, wait)
		must(t, r, s["start"])
	}
}

// Only the router's identity in the tailnet is on the flash, no part of the image.
func TestARootInMemoryTakesNoFlash(t *testing.T) {
	_, r, _ := inMemory(t, "7.21")
	expectRunning(t, r, "1")
	var stored []string
	for _, e := range r.Tables["/file"] {
		if name := e.Values["name"].(string); !strings.HasPrefix(name, "tailscale-tmp") {
			stored = append(stored, name)
		}
	}
	for _, name := range stored {
		if strings.Contains(name, "root") || strings.Contains(name, "layers") {
			t.Errorf("%s is not in memory", name)
		}
	}
	if !slices.Contains(stored, "tailscale-state") {
		t.Errorf("the state is not in %q", stored)
	}
}

func TestEachBootAddsTheContainer(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*router)
		after   int
	}{
		"at once":                        {func(*router) {}, 0},
		"the disk has to be added again": {func(r *router) { r.Forgets = true }, 0},
		"no registry for two hours":      {func(r *router) { r.Offline = 7200 }, 7200},
		"no date for an hour":            {func(r *router) { lack(r, "/system/clock", "date", "1970-01-02", 3600) }, 3600},
		"no name server for a minute":    {func(r *router) { lack(r, "/ip/dns", "dynamic-servers", "", 60) }, 60},
		"too little memory for a day":    {func(r *router) { lack(r, "/system/resource", "free-memory", int64(56<<20-1), 86400) }, 86400},
		"everything is late":             {func(r *router) { lack(r, "/system/clock", "date", "1970-01-02", 90); r.Offline = 300 }, 300},
	} {
		for _, release := range []string{"7.21", "7.24"} {
			t.Run(name+" "+release, func(t *testing.T) {
				_, r, s := inMemory(t, release)
				c.prepare(r)
				r.Boot()
				booted := r.Age
				runScheduled(t, r, s)
				if waited := r.Age - booted; waited < c.after {
					t.Errorf("it ran after %d seconds", waited)
				}
				r.Wait(60)
				expectRunning(t, r, "1")
				if n := len(r.Tables["/container"]); n != 1 {
					t.Errorf("%d containers", n)
				}
				if r.Tables["/container"][0].Values["start-on-boot"] != false {
					t.Error("RouterOS starts what is not there")
				}
				if !r.Has("/file", "name", "tailscale-state") {
					t.Error("the state is gone")
				}
			})
		}
	}
}

// A tarball on a USB disk needs no registry, but the disk may appear late.
func TestATarballIsAddedAtEachBoot(t *testing.T) {
	o := Default()
	o.Root, o.Tarball, o.Disk = RootMemory, "disk1/tailscale.tar", "disk1"
	r, s := ready(o), scripts(t, o)
	must(t, r, s["install"])
	r.Unplug("disk1", 300)
	r.Offline = 1 << 30
	boot(t, r, s)
	expectRunning(t, r, "image")
}

// Each reason is logged once, and the pause grows: a day without a registry has about 150 attempts.
func TestAttemptsBecomeLessFrequent(t *testing.T) {
	_, r, s := inMemory(t, "7.24")
	r.Boot()
	r.Offline, r.Log, r.Asked = 24*3600, nil, 0
	runScheduled(t, r, s)
	expectRunning(t, r, "1")
	want := []string{"warning: tailscale could not be started: failure: connection timed out", "info: tailscale was started"}
	if !slices.Equal(r.Log, want) {
		t.Errorf("log: %q; want %q", r.Log, want)
	}
	if r.Asked < 140 || r.Asked > 160 {
		t.Errorf("the registry was asked %d times", r.Asked)
	}
}

func TestASecondStartChangesNothing(t *testing.T) {
	_, r, s := inMemory(t, "7.24")
	for range 2 {
		r.Changes, r.Starts = 0, 0
		must(t, r, s["start"])
		if r.Changes > 0 || r.Starts > 0 {
			t.Errorf("%d changes, %d starts", r.Changes, r.Starts)
		}
		expectRunning(t, r, "1")
	}
}

// A run waits for another one that has started to unpack the image.
func TestTwoStartsAddOneContainer(t *testing.T) {
	_, r, s := inMemory(t, "7.24")
	r.Boot()
	added := 0
	r.Pull = func(string) (string, error) { added++; return "1", nil }
	// The last change of the first run starts the container.
	r.Changes, r.CutAt = 0, 1<<30
	must(t, r, s["start"])
	last := r.Changes
	r.Boot()
	r.Changes, r.CutAt, added = 0, last, 0
	if err := run(t, r, s["start"]); err == nil {
		t.Fatal("the run was not interrupted")
	}
	r.CutAt = 0
	must(t, r, s["start"])
	expectRunning(t, r, "1")
	if added != 1 {
		t.Errorf("the image was unpacked %d times", added)
	}
}

// Whatever command fails, the next attempt of the same run continues.
func TestAStartTriesAgainAfterAFailure(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		for step := 1; ; step++ {
			_, r, s := inMemory(t, "7.24")
			r.Forgets = forgets
			r.Boot()
			r.Changes, r.FailAt = 0, step
			runScheduled(t, r, s)
			expectRunning(t, r, "1")
			if r.Changes < step {
				if step < 4 {
					t.Errorf("the start has %d steps", r.Changes)
				}
				break
			}
		}
	}
}

func TestAStartSurvivesPowerFailures(t *testing.T) {
	for _, release := range []string{"7.21", "7.24"} {
		for _, forgets := range []bool{false, true} {
			for step := 1; ; step++ {
				_, r, s := inMemory(t, release)
				r.Forgets = forgets
				r.Boot()
				r.Changes, r.CutAt = 0, step
				err := run(t, r, s["start"])
				finished := err == nil
				boot(t, r, s)
				r.Wait(30)
				expectRunning(t, r, "1")
				if n := len(r.Tables["/container"]); n != 1 {
					t.Fatalf("step %d: %d containers", step, n)
				}
				if finished {
					break
				}
			}
		}
	}
}

// After a power failure during an update, the boot fetches the image from the registry.
func TestAnUpdateInMemorySurvivesPowerFailures(t *testing.T) {
	for _, release := range []string{"7.21", "7.24"} {
		for step := 1; ; step++ {
			shop, r, s := inMemory(t, release)
			shop.release(r, "2")
			r.Changes, r.CutAt = 0, step
			err := run(t, r, s["update"])
			if err == nil {
				expectRunning(t, r, "2")
				if step < 8 {
					t.Errorf("the update has %d steps", r.Changes)
				}
			}
			boot(t, r, s)
			r.Wait(30)
			expectRunning(t, r, "2")
			must(t, r, s["update"])
			if n := len(r.Tables["/container"]); n != 1 || r.Said[len(r.Said)-1] != "tailscale is up to date" {
				t.Fatalf("step %d: %d containers, said %q", step, n, r.Said)
			}
			if err == nil {
				break
			}
		}
	}
}

// An interrupted update is completed by the update script, not by the start script.
func TestAStartLeavesAnUpdateAlone(t *testing.T) {
	for step := 1; ; step++ {
		shop, r, s := inMemory(t, "7.24")
		shop.release(r, "2")
		r.Changes, r.CutAt = 0, step
		if err := run(t, r, s["update"]); err == nil {
			return
		}
		r.CutAt, r.Starts = 0, 0
		fresh := slices.ContainsFunc(r.Tables["/container"], func(e *entry) bool { return strings.Contains(e.Values["comment"].(string), " next ") })
		must(t, r, s["start"])
		if fresh && r.Starts > 0 {
			t.Errorf("step %d: a container was started in an update", step)
		}
		must(t, r, s["update"])
		r.Wait(30)
		expectRunning(t, r, "2")
	}
}

func TestAnUpdateInMemoryIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*router)
		want  string
	}{
		"before the start": {func(r *router) { r.Boot() }, "the container has not been added since the router booted: /import tailscale-start.rsc"},
		"little memory":    {func(r *router) { r.Singles["/system/resource"]["free-memory"] = int64(12<<20 - 1) }, "12582911 bytes are free, but 12582912 are needed"},
	} {
		t.Run(name, func(t *testing.T) {
			shop, r, s := inMemory(t, "7.24")
			shop.release(r, "2")
			c.spoil(r)
			before := r.Snapshot()
			if err := run(t, r, s["update"]); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to contain %q", err, c.want)
			}
			if r.Snapshot() != before {
				t.Error("the router was changed")
			}
		})
	}
}

func TestInstallationsInMemoryAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*router)
		want  string
	}{
		"little memory":       {func(r *router) { r.Singles["/system/resource"]["free-memory"] = int64(56<<20 - 1) }, "not enough memory: 58720255 bytes are free, but 58720256 are needed"},
		"no start script":     {func(r *router) { dropFile(r, "tailscale-start.rsc") }, "there is no file tailscale-start.rsc"},
		"a directory":         {func(r *router) { r.Put("/file", "name", "tailscale-tmp") }, "a file, directory or disk tailscale-tmp already exists"},
		"tarball in memory":   {func(r *router) { r.Put("/disk", "slot", "disk1", "type", "tmpfs") }, "the disk disk1 is in memory"},
		"no scheduler":        {func(r *router) { r.Singles["/system/device-mode"]["scheduler"] = false }, "the scheduler is switched off"},
		"a directory flash":   {func(r *router) { r.Put("/file", "name", "flash") }, "--disk flash"},
		"no tarball any more": {func(r *router) { dropFile(r, "disk1/tailscale.tar") }, "there is no file disk1/tailscale.tar"},
	} {
		t.Run(name, func(t *testing.T) {
			o := variants(t)["memory and tarball"]
			r := ready(o)
			c.spoil(r)
			before := r.Snapshot()
			if err := run(t, r, scripts(t, o)["install"]); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want it to contain %q", err, c.want)
			}
			if r.Snapshot() != before {
				t.Error("the router was changed")
			}
		})
	}
}

// The disk must be there before anything is written to it. Otherwise the files would be on the flash.
func TestNothingIsPutOnAMissingDisk(t *testing.T) {
	o := newShop(t).options()
	o.Root = RootMemory
	r, s := ready(o), scripts(t, o)
	r.Mountless = true
	if err := run(t, r, s["install"]); err == nil || !strings.Contains(err.Error(), "the memory disk tailscale-tmp did not appear") {
		t.Errorf("error = %v", err)
	}
	if len(r.Tables["/container"]) > 0 {
		t.Error("a container was added")
	}
}

func TestAStartEndsAfterTheRemoval(t *testing.T) {
	_, r, s := inMemory(t, "7.24")
	must(t, r, s["remove"])
	before := r.Snapshot()
	must(t, r, s["start"])
	if r.Snapshot() != before || r.Log[len(r.Log)-1] != "warning: tailscale could not be started: it is not installed" {
		t.Errorf("log: %q", r.Log)
	}
}

// A container that exits immediately is started again, at growing intervals.
func TestAContainerThatDoesNotStayUpIsStartedAgain(t *testing.T) {
	_, r, s := inMemory(t, "7.21")
	r.Boot()
	r.Crashes["1"] = true
	r.Later(500, func() { r.Crashes["1"] = false })
	runScheduled(t, r, s)
	r.Wait(60)
	expectRunning(t, r, "1")
	if want := "the container stopped again"; !slices.ContainsFunc(r.Log, func(l string) bool { return strings.Contains(l, want) }) {
		t.Errorf("log: %q; want it to say %q", r.Log, want)
	}
}

func TestTheDiagnosisKnowsOfTheBoot(t *testing.T) {
	_, r, s := inMemory(t, "7.24")
	r.Boot()
	r.Said = nil
	must(t, r, s["diagnose"])
	if want := "has not been added since the router booted"; !slices.ContainsFunc(r.Said, func(l string) bool { return strings.Contains(l, want) }) {
		t.Errorf("said %q; want %q", r.Said, want)
	}
}

// The limit in the scripts has room for images with more features than the default ones.
func TestTheImageIsWithinTheLimitOfTheScripts(t *testing.T) {
	budget, err := size.Budget()
	if err != nil {
		t.Fatal(err)
	}
	largest := int64(0)
	for _, p := range budget.Platforms {
		largest = max(largest, p.Stored)
	}
	if largest == 0 || largest > imageMiB<<20 {
		t.Errorf("the largest image has %d bytes, more than the limit of %d MiB in the scripts", largest, imageMiB)
	}
}
