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

	"dagger/mikrotik-tailscale/endtoend/testmode"
)

// group is a control group of the kernel, like those of a container engine.
type group struct {
	t   *testing.T
	dir string
	// unified is true for cgroup v2.
	unified bool
}

// newGroup creates a control group with limits, of version 1 or 2, whichever the machine has. Its cleanup sets the
// values of free, because processes need resources to exit.
func newGroup(t *testing.T, controller string, first, second, free map[string]string) group {
	t.Helper()
	testmode.Machine(t)
	const root = "/sys/fs/cgroup"
	name := fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), controller)
	g, limits := group{t: t, dir: filepath.Join(root, controller, name)}, first
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		g, limits = group{t, filepath.Join(root, name), true}, second
		write(t, root+"/cgroup.subtree_control", "+"+controller)
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatalf("this test needs control groups for %s: %v", controller, err)
	}
	t.Cleanup(func() {
		for file, value := range free {
			_ = os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0o644)
		}
		eventually(t, "the control group is empty", func() bool { return !errors.Is(os.Remove(g.dir), syscall.EBUSY) })
	})
	for file, value := range limits {
		if _, err := os.Stat(filepath.Join(g.dir, file)); err != nil {
			t.Fatalf("this test needs control groups for %s: %v", controller, err)
		}
		write(t, filepath.Join(g.dir, file), value)
	}
	return g
}

// memoryGroup limits memory.
func memoryGroup(t *testing.T, limit int) group {
	t.Helper()
	bytes := strconv.Itoa(limit)
	return newGroup(t, "memory", map[string]string{"memory.limit_in_bytes": bytes}, map[string]string{"memory.max": bytes, "memory.swap.max": "0"}, nil)
}

// cpuGroup limits processes to a share of one processor, in percent.
func cpuGroup(t *testing.T, percent int) group {
	t.Helper()
	quota := strconv.Itoa(percent * 1000)
	return newGroup(t, "cpu", map[string]string{"cpu.cfs_quota_us": quota}, map[string]string{"cpu.max": quota + " 100000"},
		map[string]string{"cpu.cfs_quota_us": "-1", "cpu.max": "max"})
}

// enter returns the shell command that moves the shell into the group.
func (g group) enter() string { return "echo 0 >" + filepath.Join(g.dir, "cgroup.procs") }

// kills returns how many processes the kernel killed because memory ran out.
func (g group) kills() int {
	g.t.Helper()
	if g.unified {
		return g.count("memory.events", "oom_kill")
	}
	return g.count("memory.oom_control", "oom_kill")
}

// count reads a counter of the kernel.
func (g group) count(file, name string) int {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		g.t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), name+" ")
	number, err := strconv.Atoi(strings.Fields(after + " none")[0])
	if !found || err != nil {
		g.t.Fatalf("%s contains %q", file, text)
	}
	return number
}

// A container with 64 MB is enough, because under load the daemon stays within GOMEMLIMIT. If memory runs out anyway,
// the kernel kills the daemon, and RouterOS starts the container again.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	group := memoryGroup(t, 64<<20)
	run := t.TempDir() // survives the daemon, like the files of a container that is restarted
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
	r.says("the daemon was not stopped properly the last time: it was killed, perhaps because memory ran out, or the power failed", 1)
	r.stop()
	r.again()
	r.says("the daemon was not stopped properly", 0)
}
