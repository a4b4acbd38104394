package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// container is a container in a directory.
func container(t *testing.T) (Container, func() string) {
	t.Helper()
	var log strings.Builder
	return Container{Root: t.TempDir(), Lock: func(int) error { return nil }, Now: time.Now,
		Logf: func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) }}, log.String
}

func (c Container) put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.path(path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (c Container) text(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(c.path(path))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func settings(t *testing.T, lines ...string) Settings {
	t.Helper()
	s, says := read(testRelease("netstack"), nil, lines...)
	if says != "" {
		t.Fatal(says)
	}
	return s
}

func TestTheDaemonsArguments(t *testing.T) {
	c, log := container(t)
	s := settings(t, "TS_USERSPACE=yes", "TS_TAILSCALED_EXTRA_ARGS=--port=41641")
	got := strings.Join(c.Prepare(&s, testRelease("netstack")), " ")
	if want := "--no-logs-no-support --tun=userspace-networking --statedir=/var/lib/tailscale --socket=/var/run/tailscale/tailscaled.sock --port=41641"; got != want || log() != "" {
		t.Errorf("%s\n%s", got, log())
	}
}

func TestPlacesThatCannotBeUsed(t *testing.T) {
	c, log := container(t)
	c.put(t, "/a/file", "")
	s := settings(t, "TS_USERSPACE=yes", "TS_STATE_DIR=/a/file/state", "TS_SOCKET=/"+strings.Repeat("long", 30))
	c.Prepare(&s, testRelease("netstack"))
	if s.StateDir != Default("TS_STATE_DIR") || s.Socket != Default("TS_SOCKET") {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{"TS_STATE_DIR=/a/file/state can't be used: ", "TS_SOCKET=/longlong"} {
		if strings.Count(log(), want) != 1 {
			t.Errorf("the log does not say %s:\n%s", want, log())
		}
	}
}

func TestTheUsualPathLeadsToTheSocket(t *testing.T) {
	c, log := container(t)
	s := settings(t, "TS_USERSPACE=yes", "TS_SOCKET=/run/here.sock")
	c.Prepare(&s, testRelease("netstack"))
	if to, err := os.Readlink(c.path(Default("TS_SOCKET"))); to != "/run/here.sock" || log() != "" {
		t.Errorf("it leads to %q (%v)\n%s", to, err, log())
	}
	s = settings(t, "TS_USERSPACE=yes")
	c.Prepare(&s, testRelease("netstack"))
	if _, err := os.Lstat(c.path(Default("TS_SOCKET"))); !os.IsNotExist(err) {
		t.Errorf("the link stays: %v", err)
	}
}

func TestALeftoverSocketShowsAKill(t *testing.T) {
	c, log := container(t)
	if err := os.MkdirAll(c.path("/var/run/tailscale"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: c.path(Default("TS_SOCKET"))})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	s := settings(t, "TS_USERSPACE=yes")
	c.Prepare(&s, testRelease("netstack"))
	if !strings.HasPrefix(log(), "the daemon was not stopped properly the last time") {
		t.Errorf("the log is %q", log())
	}
}

func TestAStateVolumeWithoutLocks(t *testing.T) {
	c, log := container(t)
	c.Lock = func(int) error { return syscall.EOPNOTSUPP }
	s := settings(t, "TS_USERSPACE=yes")
	c.Prepare(&s, testRelease("netstack"))
	if want := "can't lock /var/lib/tailscale: operation not supported; make sure that no other container uses it\n"; log() != want {
		t.Errorf("the log is %q", log())
	}
}

func TestOneProcessHasTheLock(t *testing.T) {
	dir := t.TempDir()
	for i, want := range []error{nil, syscall.EWOULDBLOCK} {
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		if err := Flock(int(d.Fd())); !errors.Is(err, want) {
			t.Errorf("try %d: %v", i, err)
		}
	}
}

func TestAnotherContainerIsWaitedFor(t *testing.T) {
	// The first use of signals starts a goroutine, which must not be part of the bubble.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR2)
	synctest.Test(t, waitForAnother)
}

func waitForAnother(t *testing.T) {
	c, log := container(t)
	c.Now = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	tries := 0
	c.Lock = func(int) error {
		if tries++; tries < 3 {
			return fmt.Errorf("flock: %w", syscall.EWOULDBLOCK)
		}
		return nil
	}
	s := settings(t, "TS_USERSPACE=yes")
	c.Prepare(&s, testRelease("netstack"))
	if log() != "another container is using the state in /var/lib/tailscale: waiting for it to stop\n" || tries != 3 {
		t.Errorf("%d tries, the log is %q", tries, log())
	}
}

func TestAnEarlyClock(t *testing.T) {
	c, log := container(t)
	c.Now = func() time.Time { return time.Unix(60, 0).UTC() }
	s := settings(t, "TS_USERSPACE=yes")
	c.Prepare(&s, testRelease("netstack"))
	if !strings.HasPrefix(log(), "the clock says 1970-01-01 00:01: the router can't log in until the clock is right") {
		t.Errorf("the log is %q", log())
	}
}

func TestForwardingAndTheInterface(t *testing.T) {
	c, log := container(t)
	c.put(t, "/proc/sys/net/ipv4/ip_forward", "0\n")
	c.put(t, "/proc/sys/net/ipv6/conf/all/forwarding", "1\n")
	c.put(t, "/proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\nTailscale-lan\t00000000\t010014AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
	c.put(t, "/proc/net/ipv6_route", strings.Repeat("0", 32)+" 00 "+strings.Repeat("0", 32)+" 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 tailscale-six\n"+
		strings.Repeat("0", 32)+" 00 "+strings.Repeat("0", 32)+" 00 "+strings.Repeat("0", 32)+" ffffffff 00000001 00000000 00200200       lo\n")
	c.network()
	if got := c.text(t, "/proc/sys/net/ipv4/ip_forward"); got != "1" {
		t.Errorf("forwarding is %q", got)
	}
	for _, name := range []string{"Tailscale-lan", "tailscale-six"} {
		if strings.Count(log(), "Tailscale ignores "+name+", the interface of the default route") != 1 || strings.Count(log(), "\n") != 2 {
			t.Errorf("the log is %q", log())
		}
	}
}

const goodState = `{
  "_machinekey": "cHJpdmtleTo=",
  "_current-profile": "cHJvZmlsZQ=="
}`

func TestADamagedStateIsRepaired(t *testing.T) {
	const path = "/var/lib/tailscale/tailscaled.state"
	for name, damaged := range map[string]string{"empty": "", "cut": goodState[:30], "zeros": strings.Repeat("\x00", 80), "garbage": "\xff\x00\n\"", "zeros within": strings.Replace(goodState, "cHJp", "\x00\x00\x00\x00", 1), "more": goodState + "}"} {
		c, log := container(t)
		c.put(t, path, damaged)
		c.put(t, path+".good", goodState)
		s := settings(t, "TS_USERSPACE=yes")
		c.Prepare(&s, testRelease("netstack"))
		if c.text(t, path) != goodState || !strings.Contains(log(), path+" was damaged: replaced it with its last good copy") {
			t.Errorf("%s: the state is %q\n%s", name, c.text(t, path), log())
		}
	}
	for name, v := range map[string]struct{ state, good, want, bad, says string }{
		"no copy":      {state: "{\n \"a", good: "", bad: "{\n \"a", says: "is damaged, and there is no good copy of it: the router has to log in again"},
		"another form": {state: `{"state": {"of": "tomorrow"}}`, want: `{"state": {"of": "tomorrow"}}`},
		"whole":        {state: goodState, want: goodState, good: "{}"},
		"new":          {state: "{}", want: "{}", good: goodState},
	} {
		c, log := container(t)
		c.put(t, path, v.state)
		c.put(t, path+".good", v.good)
		c.put(t, path+".tmp123", "left")
		s := settings(t, "TS_USERSPACE=yes")
		c.Prepare(&s, testRelease("netstack"))
		if got, bad := c.text(t, path), c.text(t, path+".bad"); got != v.want || bad != v.bad || (v.says == "") != (log() == "") || !strings.Contains(log(), v.says) {
			t.Errorf("%s: the state is %q, aside is %q\n%s", name, got, bad, log())
		}
		if c.text(t, path+".tmp123") != "" {
			t.Errorf("%s: what an interrupted write left stays", name)
		}
	}
	c, log := container(t)
	c.put(t, path+".good", goodState)
	s := settings(t, "TS_USERSPACE=yes")
	c.Prepare(&s, testRelease("netstack"))
	if c.text(t, path) != "" || log() != "" {
		t.Error("a missing state is put back")
	}
}

// The copy is written if and only if the state has changed.
func TestTheCopyOfTheState(t *testing.T) {
	const path = "/state/tailscaled.state"
	c, log := container(t)
	c.put(t, path, goodState)
	s := OpenState(c.Root, "/state", c.Logf)
	s.Backup()
	first, err := os.Stat(c.path(path + ".good"))
	if err != nil || c.text(t, path+".good") != goodState {
		t.Fatalf("the copy is %q (%v)", c.text(t, path+".good"), err)
	}
	again := func() os.FileInfo {
		s.Backup()
		info, err := os.Stat(c.path(path + ".good"))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	c.put(t, path, goodState)
	if !os.SameFile(first, again()) {
		t.Error("the copy is written although nothing changed")
	}
	c.put(t, path, goodState[:20])
	if !os.SameFile(first, again()) || c.text(t, path+".good") != goodState {
		t.Error("a damaged state is copied")
	}
	c.put(t, path, "{}")
	if os.SameFile(first, again()) || c.text(t, path+".good") != "{}" || log() != "" {
		t.Errorf("the copy is %q\n%s", c.text(t, path+".good"), log())
	}
	s.path = filepath.Join(c.Root, "nowhere/tailscaled.state")
	s.Backup()
	if log() != "" {
		t.Errorf("a missing state is complained about: %s", log())
	}
}
