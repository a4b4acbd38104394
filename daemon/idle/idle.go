// Package idle returns memory to the kernel when a program becomes idle. Go's runtime keeps freed memory for what is
// allocated before the next garbage collection, and an idle program allocates little.
package idle

import "runtime/debug"

// Memory is the memory of this program.
type Memory struct {
	stats debug.GCStats
	// These are numbers of garbage collections: until the last look, and until the last one of Look itself.
	last, own int64
}

// Look returns free memory if there was a garbage collection, but none since the last look. So a program that allocates
// much keeps its memory.
func (m *Memory) Look() {
	debug.ReadGCStats(&m.stats)
	if m.stats.NumGC == m.last && m.last != m.own {
		debug.FreeOSMemory()
		debug.ReadGCStats(&m.stats)
		m.own = m.stats.NumGC
	}
	m.last = m.stats.NumGC
}
