package supervisor

import (
	"errors"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Container is the supervisor's access to the container that it runs in. Tests replace parts of it.
type Container struct {
	// Root is the directory of the container's files.
	Root string
	// Lock locks a directory that is open as fd. It returns EWOULDBLOCK while another process has the lock.
	Lock func(fd int) error
	// Logf writes a line to the log.
	Logf func(format string, args ...any)
	// Now returns the time.
	Now func() time.Time
}

// Prepare prepares the container for the daemon, and returns the daemon's arguments. It may change settings that the
// container doesn't allow.
func (c Container) Prepare(s *Settings, release Release) []string {
	if now := c.Now(); now.Year() < 2024 {
		c.Logf("the clock says %s: the router can't log in until the clock is right, because certificates aren't valid yet", now.Format("2006-01-02 15:04"))
	}
	c.directories(s)
	c.lock(s.StateDir)
	state := OpenState(c.Root, s.StateDir, c.Logf)
	state.repair()
	state.clear()
	c.socket(s)
	if !s.Userspace {
		c.device(s, release)
		c.network()
	}
	args := []string{"--no-logs-no-support", "--tun=" + s.Tun, "--statedir=" + s.StateDir, "--socket=" + s.Socket}
	for _, f := range s.Daemon {
		args = append(args, f.String())
	}
	return args
}

func (c Container) path(path string) string { return filepath.Join(c.Root, path) }

// directories creates the directories for the state and the socket, and falls back to the default ones.
func (c Container) directories(s *Settings) {
	for _, d := range []struct {
		variable string
		path     *string
		dir      func(string) string
	}{
		{"TS_STATE_DIR", &s.StateDir, func(p string) string { return p }},
		{"TS_SOCKET", &s.Socket, filepath.Dir},
	} {
		if err := os.MkdirAll(c.path(d.dir(*d.path)), 0o755); err != nil && *d.path != Default(d.variable) {
			c.Logf("%s=%s can't be used: %v; using %s", d.variable, *d.path, err, Default(d.variable))
			*d.path = Default(d.variable)
			_ = os.MkdirAll(c.path(d.dir(*d.path)), 0o755)
		}
	}
}

// lock waits until no other container uses the same state, because two daemons with one identity would conflict. It
// locks the directory itself, so it writes no file.
func (c Container) lock(dir string) {
	// The file descriptor is never closed, so the process holds the lock until it ends.
	fd, err := syscall.Open(c.path(dir), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		c.Logf("can't lock %s: %v; make sure that no other container uses it", dir, err)
		return
	}
	// Process 1 only gets the signals that it asks for.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(stop)
	for waiting := false; ; {
		err := c.Lock(fd)
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			c.Logf("can't lock %s: %v; make sure that no other container uses it", dir, err)
			return
		}
		if !waiting {
			c.Logf("another container is using the state in %s: waiting for it to stop", dir)
			waiting = true
		}
		select {
		case <-stop:
			os.Exit(0)
		case <-time.After(2 * time.Second):
		}
	}
}

// socket removes the last daemon's socket, checks that the daemon can create its own, and links the default path to
// it.
func (c Container) socket(s *Settings) {
	usual := Default("TS_SOCKET")
	if info, err := os.Lstat(c.path(s.Socket)); err == nil && info.Mode()&os.ModeSocket != 0 {
		c.Logf("the daemon was not stopped properly the last time: it was killed, perhaps because memory ran out, or the power failed")
		_ = os.Remove(c.path(s.Socket))
	}
	if s.Socket == usual {
		// Remove the link of an earlier configuration.
		if info, err := os.Lstat(c.path(usual)); err == nil && info.Mode()&os.ModeSymlink != 0 {
			_ = os.Remove(c.path(usual))
		}
		return
	}
	l, err := net.Listen("unix", c.path(s.Socket))
	if err != nil {
		c.Logf("TS_SOCKET=%s can't be used: %v; using %s", s.Socket, err, usual)
		s.Socket = usual
		_ = os.MkdirAll(c.path(filepath.Dir(usual)), 0o755)
		return
	}
	_ = l.Close()
	_ = os.MkdirAll(c.path(filepath.Dir(usual)), 0o755)
	_ = os.Remove(c.path(usual))
	_ = os.Symlink(s.Socket, c.path(usual))
}

// device sets up /dev/net/tun, or falls back to userspace networking.
func (c Container) device(s *Settings, release Release) {
	const tun = "/dev/net/tun"
	if _, err := os.Stat(c.path(tun)); err != nil {
		_ = os.MkdirAll(c.path(filepath.Dir(tun)), 0o755)
		_ = syscall.Mknod(c.path(tun), syscall.S_IFCHR|0o600, 10<<8|200)
	}
	f, err := os.OpenFile(c.path(tun), os.O_RDWR, 0)
	if err == nil {
		_ = f.Close()
		return
	}
	if !release.has("netstack") {
		c.Logf("can't use %s: %v; userspace networking needs an image built with --features=+netstack", tun, err)
		return
	}
	c.Logf("can't use %s: %v; running in userspace mode: hosts behind this router can't start connections into the tailnet", tun, err)
	s.Userspace, s.Tun = true, userspace
}

// network enables forwarding, and warns about an interface name that Tailscale reserves.
func (c Container) network() {
	for _, name := range c.defaultInterfaces() {
		if strings.HasPrefix(strings.ToLower(name), "tailscale") {
			c.Logf("Tailscale ignores %s, the interface of the default route, because it reserves this name for its own interfaces: rename the veth", name)
		}
	}
	for _, file := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		file = "/proc/sys/net/" + file
		value, err := os.ReadFile(c.path(file))
		if err != nil || strings.TrimSpace(string(value)) == "1" {
			continue
		}
		if err := os.WriteFile(c.path(file), []byte("1"), 0o644); err != nil {
			c.Logf("%s is %s and can't be set to 1: packets from other hosts are not forwarded", file, strings.TrimSpace(string(value)))
		}
	}
}

// defaultInterfaces returns the interfaces of the default routes for IPv4 and IPv6, each once.
func (c Container) defaultInterfaces() (names []string) {
	for _, table := range []struct {
		file, destination, length       string
		atName, atDestination, atLength int
	}{
		{"route", "00000000", "00000000", 0, 1, 7},
		{"ipv6_route", strings.Repeat("0", 32), "00", 9, 0, 1},
	} {
		text, _ := os.ReadFile(c.path("/proc/net/" + table.file))
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[table.atDestination] == table.destination && f[table.atLength] == table.length && !slices.Contains(names, f[table.atName]) {
				names = append(names, f[table.atName])
			}
		}
	}
	return names
}

// Flock is the kernel's lock for Container.Lock.
func Flock(fd int) error { return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) }
