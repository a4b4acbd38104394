package endtoend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// memoryGroup is a control group of the kernel with a limit of memory, as a container engine makes it,
// of the first version or the second, whichever the machine has.
type memoryGroup struct {
	t   *testing.T
	dir string
	// events is the file that counts what the kernel killed.
	events string
}

func newMemoryGroup(t *testing.T, limit int) memoryGroup {
	t.Helper()
	const root = "/sys/fs/cgroup"
	name := fmt.Sprintf("%s%d", prefix, os.Getpid())
	g := memoryGroup{t, filepath.Join(root, "memory", name), "memory.oom_control"}
	limits := map[string]int{"memory.limit_in_bytes": limit}
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		g = memoryGroup{t, filepath.Join(root, name), "memory.events"}
		limits = map[string]int{"memory.max": limit, "memory.swap.max": 0}
		write(t, root+"/cgroup.subtree_control", "+memory")
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatalf("this test needs control groups of memory: %v", err)
	}
	t.Cleanup(func() {
		eventually(t, "the control group is empty", func() bool { return !errors.Is(os.Remove(g.dir), syscall.EBUSY) })
	})
	for file, value := range limits {
		write(t, filepath.Join(g.dir, file), strconv.Itoa(value))
	}
	return g
}

// enter is the shell command that takes the shell into the group, and all that it becomes.
func (g memoryGroup) enter() string { return "echo 0 >" + filepath.Join(g.dir, "cgroup.procs") }

// kills tells how many processes the kernel killed for want of memory.
func (g memoryGroup) kills() int {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, g.events))
	if err != nil {
		g.t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "oom_kill ")
	kills, err := strconv.Atoi(strings.Fields(after + " none")[0])
	if !found || err != nil {
		g.t.Fatalf("%s says %q", g.events, text)
	}
	return kills
}

// A container of 64 MB is enough: the daemon keeps to GOMEMLIMIT under load. When there is no memory
// all the same, the kernel kills the daemon, and RouterOS starts the container again.
func TestOutOfMemory(t *testing.T) {
	group := newMemoryGroup(t, 64<<20)
	run := t.TempDir() // outlives the daemon, as the container's own files do when it is started again
	r := newSurvivor(t, func(o *options) {
		o.setup = group.enter() + "; mount --bind " + run + " run"
		o.env = append(o.env, "TS_EXTRA_ARGS=--accept-routes")
	})
	two := r.world.site(2)
	other := r.world.router(r.options.image, two, "other", "TS_AUTHKEY="+r.world.control.key(false), "TS_ROUTES="+two.routes, "TS_EXTRA_ARGS=--accept-routes")
	other.running()
	eventually(t, "the hosts reach each other", func() bool { return r.site.host.try("ping", "-c1", "-W2", two.lan4) })
	start(t, "iperf3", nil, two.host.in("/usr/bin/iperf3", "--server", "--forceflush")...).waitFor("Server listening")
	r.site.host.command("iperf3", "--client", two.lan4, "--time", "8", "--parallel", "4", "--bidir")
	r.same()
	if got := group.kills(); got != 0 {
		t.Fatalf("the kernel killed %d processes", got)
	}
	write(t, fmt.Sprintf("/proc/%d/oom_score_adj", r.init), "1000")
	start(t, "eater", nil, "/bin/sh", "-c", group.enter()+"; exec /usr/bin/tail /dev/zero")
	<-r.done
	if got := group.kills(); got == 0 {
		t.Fatal("the kernel did not kill the daemon")
	}
	r.again()
	r.says("the daemon did not stop by itself the last time: it was killed, perhaps because memory ran out, or the power failed", 1)
	r.stop()
	r.again()
	r.says("the daemon did not stop by itself", 0)
}
