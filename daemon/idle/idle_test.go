package idle

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// returned reports whether a look has returned memory. Afterwards, the runtime keeps hardly any free memory.
func returned(t *testing.T, m *Memory) bool {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.Look()
	runtime.ReadMemStats(&after)
	if after.NumForcedGC == before.NumForcedGC {
		return false
	}
	if kept := after.HeapIdle - after.HeapReleased; kept > 8<<20 {
		t.Errorf("%d bytes of free memory were kept", kept)
	}
	return true
}

var garbage []byte

// collect collects 64 MB of garbage, like the runtime does while a program is busy.
func collect() {
	garbage = make([]byte, 64<<20)
	for i := range garbage {
		garbage[i] = 1
	}
	garbage = nil
	runtime.GC()
}

func TestMemoryIsReturnedOnceAfterTheLastCollection(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // only this test's collections
	var m Memory
	for round := range 2 {
		for busy := range 3 {
			collect()
			if returned(t, &m) {
				t.Errorf("round %d: memory was returned after collection %d, when the program may still be busy", round, busy)
			}
		}
		if !returned(t, &m) {
			t.Errorf("round %d: no memory was returned when the program became idle", round)
		}
		for range 3 {
			if returned(t, &m) {
				t.Errorf("round %d: memory was returned again, although nothing was collected", round)
			}
		}
	}
}
