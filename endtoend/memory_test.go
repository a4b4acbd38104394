package endtoend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// memory is the memory of a container's processes, in kilobytes.
type memory struct {
	// daemon is the resident memory of process 1, including memory that is shared or that the kernel can drop.
	daemon int64
	// unreclaimable is the memory that can only be freed by ending the processes or by swapping: the anonymous memory
	// of all processes, and programs unpacked into files in memory.
	unreclaimable int64
}

// memory returns the memory of the processes in the container.
func (c *container) memory() (m memory) {
	c.t.Helper()
	programs := map[uint64]int64{}
	for _, p := range c.processes() {
		m.unreclaimable += c.rollup(p, "Pss_Anon")
		var system unix.Statfs_t
		var file unix.Stat_t
		// The parts of such a file that no process has mapped stay in memory, too.
		if unix.Statfs(p+"/exe", &system) == nil && system.Type == unix.TMPFS_MAGIC && unix.Stat(p+"/exe", &file) == nil {
			programs[file.Ino] = file.Blocks / 2
		}
	}
	for _, kb := range programs {
		m.unreclaimable += kb
	}
	m.daemon = c.rollup(fmt.Sprintf("/proc/%d", c.init), "Rss")
	return m
}

// rollup returns one value of a process's smaps_rollup in kilobytes, or 0 if the process has exited.
func (c *container) rollup(process, name string) (kb int64) {
	c.t.Helper()
	text, err := os.ReadFile(process + "/smaps_rollup")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0
	}
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, name+": %d kB", &kb); n == 1 {
			return kb
		}
	}
	c.t.Fatalf("%s/smaps_rollup has no %s:\n%s", process, name, text)
	return 0
}

// forgetUse resets the value of programUsed.
func (c *container) forgetUse() {
	c.t.Helper()
	write(c.t, fmt.Sprintf("/proc/%d/clear_refs", c.init), "1")
}

// programUsed returns how much of its unpacked program process 1 has used since forgetUse, in kilobytes. The kernel
// marks each used page.
func (c *container) programUsed() (used int64) {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", c.init))
	if err != nil {
		c.t.Fatal(err)
	}
	unpacked := false
	for line := range strings.Lines(string(text)) {
		var kb int64
		if fields := strings.Fields(line); len(fields) > 5 || len(fields) == 5 && !strings.HasSuffix(fields[0], ":") {
			unpacked = len(fields) > 5 && strings.HasPrefix(fields[5], "/memfd:")
		} else if n, _ := fmt.Sscanf(line, "Referenced: %d kB", &kb); n == 1 && unpacked {
			used += kb
		}
	}
	return used
}

// cpu returns the processor time of process 1, in user mode and in the kernel.
func (c *container) cpu() time.Duration {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.init))
	if err != nil {
		c.t.Fatal(err)
	}
	// The second field may contain spaces. The 12th and 13th fields after it are the times, in hundredths of a
	// second.
	_, rest, _ := strings.Cut(string(text), ") ")
	var user, system int64
	if fields := strings.Fields(rest); len(fields) > 13 {
		user, _ = strconv.ParseInt(fields[11], 10, 64)
		system, _ = strconv.ParseInt(fields[12], 10, 64)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
