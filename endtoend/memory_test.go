package endtoend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// memory is what a container's processes take, in kilobytes.
type memory struct {
	// daemon is the resident memory of process 1: also what it shares and what the kernel can drop.
	daemon int64
	// unreclaimable is what only the end of the processes, or swap, gives back: the anonymous memory
	// of all of them, and the programs that were unpacked into files in memory.
	unreclaimable int64
}

// memory adds up what the processes in the container take.
func (c *container) memory() (m memory) {
	c.t.Helper()
	programs := map[uint64]int64{}
	for _, p := range c.processes() {
		m.unreclaimable += c.rollup(p, "Pss_Anon")
		var system unix.Statfs_t
		var file unix.Stat_t
		// Also what no process has mapped of such a file stays in memory.
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

// rollup gives one line of what the kernel tells of a process's memory, in kilobytes, and nothing of
// a process that has ended.
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
