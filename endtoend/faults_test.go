package endtoend

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
)

// survivor is a router that a fault happens to. It was logged in with a one-time key. If it lost its identity, it
// could not log in again.
type survivor struct {
	*container
	options options
	world   *world
	site    site
	self    peer
}

// newSurvivor logs a router in. change may change its options.
func newSurvivor(t *testing.T, change func(*options)) *survivor {
	t.Helper()
	w := newWorld(t)
	w.control.start()
	s := w.site(1)
	r := &survivor{world: w, site: s, options: options{name: "router", image: builtImage(t, "amd64"), network: s.container, state: t.TempDir(),
		env: []string{"TS_AUTHKEY=" + w.control.key(false), "TS_LOGIN_SERVER=" + controlURL, "TS_ROUTES=" + s.routes}}}
	if change != nil {
		change(&r.options)
	}
	r.container = startContainer(t, r.options)
	r.running()
	r.self = r.status().Self
	r.whole()
	return r
}

// again starts a new container with the same state.
func (r *survivor) again() {
	r.t.Helper()
	if !r.ended() {
		r.t.Fatal("the router is still running")
	}
	r.container = startContainer(r.t, r.options)
	r.same()
}

// same waits until the router is logged in with its routes, and checks that it is the same machine.
func (r *survivor) same() {
	r.t.Helper()
	r.running()
	r.world.control.waitForRoutes(r.container, "the routes are back")
	if got := r.status().Self; got.ID != r.self.ID || !slices.Equal(got.TailscaleIPs, r.self.TailscaleIPs) {
		r.t.Errorf("the router is %s with %v; before it was %s with %v", got.ID, got.TailscaleIPs, r.self.ID, r.self.TailscaleIPs)
	}
}

// whole waits until the state has been copied.
func (r *survivor) whole() {
	r.t.Helper()
	eventually(r.t, "the state is copied", func() bool {
		state, copied := r.file(""), r.file(".good")
		return len(state) > 0 && bytes.Equal(state, copied)
	})
}

// file returns one of the state's files, or nil if it is missing.
func (r *survivor) file(suffix string) []byte {
	text, _ := os.ReadFile(r.path(suffix))
	return text
}

func (r *survivor) path(suffix string) string {
	return filepath.Join(r.options.state, "tailscaled.state"+suffix)
}

// unfinished returns the files of incomplete writes.
func (r *survivor) unfinished() []string {
	r.t.Helper()
	names, err := filepath.Glob(r.path(".tmp*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// kill ends the router like a power failure.
func (r *survivor) kill() {
	r.t.Helper()
	r.signal(syscall.SIGKILL)
	<-r.done
}

// says checks how often the entrypoint has printed a line.
func (r *survivor) says(line string, times int) {
	r.t.Helper()
	if got := strings.Count(r.log(), "entrypoint: "+line); got != times {
		r.t.Errorf("the log contains %d times, not %d: %s", got, times, line)
	}
}

// The daemon writes a new file and renames it to the state. It is killed when the new file exists, and again when
// half of it is written.
func TestAKillInTheMiddleOfAStateWrite(t *testing.T) {
	t.Parallel()
	testtools.Require(t, local.Tool{Command: "strace", Package: "strace"})
	r := newSurvivor(t, nil)
	for _, cut := range []bool{false, true} {
		before := r.file("")
		strace := start(t, "strace", nil, "/usr/bin/strace", "-f", "-p", fmt.Sprint(r.init), "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=600s")
		strace.waitFor("attached")
		set := make(chan struct{})
		go func() {
			defer close(set)
			_, _ = r.sh("tailscale set --hostname=renamed")
		}()
		eventually(t, "the daemon writes its state", func() bool { return len(r.unfinished()) == 1 })
		r.signal(syscall.SIGKILL)
		strace.kill() // it would delay the kill until the end of the write
		<-r.done
		<-set
		left := r.unfinished()
		if len(left) != 1 || !bytes.Equal(before, r.file("")) {
			t.Fatalf("the kill did not hit the middle of a write: it left %v", left)
		}
		if cut {
			if err := os.Truncate(left[0], 100); err != nil {
				t.Fatal(err)
			}
		}
		r.again()
		if left := r.unfinished(); len(left) > 0 {
			t.Errorf("leftovers of the killed write remain: %v", left)
		}
		r.says(r.path(""), 0)
	}
}

// A power failure may damage the state's file in any of these ways, whatever the daemon does.
func TestADamagedStateIsRestored(t *testing.T) {
	t.Parallel()
	r := newSurvivor(t, nil)
	damages := []struct {
		name  string
		wreck func(state []byte) []byte
	}{
		{"Empty", func([]byte) []byte { return nil }},
		{"CutShort", func(state []byte) []byte { return state[:len(state)/2] }},
		{"CutAtALine", func(state []byte) []byte { return state[:bytes.LastIndexByte(state[:len(state)-2], '\n')+1] }},
		{"Zeros", func(state []byte) []byte { return make([]byte, len(state)) }},
		{"ZerosWithin", func(state []byte) []byte {
			clear(state[len(state)/3 : len(state)/2])
			return state
		}},
		{"Garbage", func(state []byte) []byte { return bytes.Repeat([]byte{0xff, 0x00, '\n', '"'}, len(state)/4) }},
	}
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			r.whole()
			r.stop()
			write(t, r.path(""), string(d.wreck(r.file(""))))
			r.again()
			r.says("/var/lib/tailscale/tailscaled.state was damaged: replaced it with its last good copy", 1)
		})
	}
	t.Run("Nothing", func(t *testing.T) {
		r.whole()
		before, state := inode(t, r.path(".good")), r.file("")
		r.stop()
		r.again()
		r.says("/var/lib/tailscale", 0)
		if !bytes.Equal(state, r.file("")) || inode(t, r.path(".good")) != before {
			t.Error("a start without changes writes to the flash")
		}
	})
	t.Run("NoCopyEither", func(t *testing.T) {
		r.whole()
		r.stop()
		const cut = "{\n  \"_machinekey\": \"cHJpdmtleTo"
		write(t, r.path(""), cut)
		write(t, r.path(".good"), "")
		o := r.options
		o.env = append(o.env, "TS_AUTHKEY="+r.world.control.key(false))
		r.container = startContainer(t, o)
		r.waitFor("entrypoint: /var/lib/tailscale/tailscaled.state is damaged, and there is no good copy of it: the router has to log in again")
		if got := string(r.file(".bad")); got != cut {
			t.Errorf("the damaged state was replaced by %q", got)
		}
		r.running()
		if r.status().Self.ID == r.self.ID {
			t.Error("the state was not damaged")
		}
		r.whole()
	})
	t.Run("AnotherForm", func(t *testing.T) {
		r.stop()
		const unknown = `{"state": {"of": "tomorrow"}}`
		write(t, r.path(""), unknown)
		if err := os.Remove(r.path(".good")); err != nil {
			t.Fatal(err)
		}
		r.container = startContainer(t, r.options)
		r.waitFor("store.New failed: ")
		r.says("/var/lib/tailscale", 0)
		if got := string(r.file("")); got != unknown {
			t.Errorf("a state that only another daemon can read is now %q", got)
		}
	})
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		t.Fatal(err)
	}
	return s.Ino
}

func TestAFullStateVolume(t *testing.T) {
	t.Parallel()
	r := newSurvivor(t, func(o *options) {
		if err := unix.Mount("tmpfs", o.state, "tmpfs", 0, "size=256k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(o.state, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	})
	before := r.file("")
	filler, err := os.Create(filepath.Join(r.options.state, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = filler.Close() }()
	fill := func() {
		t.Helper()
		if _, err := io.Copy(filler, zeros{}); err == nil {
			t.Fatal("the volume is not full")
		}
	}
	fill()
	r.must("tailscale set --hostname=renamed")
	r.waitFor("no space left on device")
	r.same()
	if !bytes.Equal(before, r.file("")) {
		t.Error("the state on a full volume has changed")
	}
	if left := r.unfinished(); len(left) > 0 {
		t.Errorf("the full volume still contains %v", left)
	}
	r.kill()
	r.again()
	t.Run("Damaged", func(t *testing.T) {
		r.stop()
		write(t, r.path(""), "")
		fill()
		r.again()
		r.says("/var/lib/tailscale/tailscaled.state was damaged", 1)
		r.waitFor("entrypoint: can't copy the state to /var/lib/tailscale/tailscaled.state.good: ")
	})
	if err := filler.Truncate(0); err != nil {
		t.Fatal(err)
	}
	r.must("tailscale set --hostname=renamed-again")
	eventually(t, "the state is written again", func() bool { return !bytes.Equal(before, r.file("")) })
	r.whole()
	r.kill()
	r.again()
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// Like docker run --read-only --tmpfs /run.
func TestAReadOnlyRoot(t *testing.T) {
	t.Parallel()
	r := newSurvivor(t, func(o *options) { o.setup = "mount -t tmpfs tmpfs run; mount -o remount,bind,ro ." })
	if out, err := r.sh("touch /here"); err == nil {
		t.Errorf("the root filesystem can be written to: %s", out)
	}
	r.stop()
	r.again()
}

// An image with another revision, not packed, replaces the old one.
func TestANewerImage(t *testing.T) {
	t.Parallel()
	r := newSurvivor(t, nil)
	r.stop()
	r.options.image = builtImage(t, "amd64", "--revision", "2", "--compression", "none")
	if got := r.options.image.config.Labels["org.opencontainers.image.version"]; !strings.HasSuffix(got, "-mt.2") {
		t.Errorf("the newer image is %s", got)
	}
	r.again()
	r.stop()
	r.options.image = builtImage(t, "amd64")
	r.again()
}

// A second container is started while the first is still running, for example by a user who updates the image.
func TestTwoContainersOnOneState(t *testing.T) {
	t.Parallel()
	r := newSurvivor(t, nil)
	state := r.file("")
	o := r.options
	o.name, o.network = "second", r.world.site(2).container
	second := startContainer(t, o)
	second.waitFor("entrypoint: another container is using the state in /var/lib/tailscale: waiting for it to stop")
	if out, err := second.sh("healthcheck alive"); err == nil {
		t.Errorf("the second container runs a daemon: %s", out)
	}
	if code := second.stop(); code != 0 {
		t.Errorf("the exit code of the waiting container is %d", code)
	}
	second = startContainer(t, o)
	second.waitFor("waiting for it to stop")
	r.same()
	if !bytes.Equal(state, r.file("")) {
		t.Error("the state has changed")
	}
	r.kill()
	r.container = second
	r.same()
	r.says("another container is using the state", 1)
}
