// This file is added to Tailscale's cmd/tailscaled. It returns memory to the kernel that the daemon doesn't use.

package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"tailscale.com/types/logger"
)

func init() {
	if filepath.Base(os.Args[0]) == "tailscale" {
		return
	}
	create := tstunNew
	tstunNew = func(logf logger.Logf, name string) (tun.Device, string, error) {
		// The device's tables have room for more connections than any router has at once. If the runtime had to clear
		// memory of the start for them, the kernel would have to provide all of it.
		debug.FreeOSMemory()
		return create(logf, name)
	}
	go returnMemory()
}

// returnMemory returns memory when the daemon becomes idle. Go's runtime keeps freed memory for what is allocated
// before the next garbage collection, and an idle daemon allocates little.
func returnMemory() {
	var stats debug.GCStats
	var last, own int64 // numbers of garbage collections: until the last look, and until the last one of this function
	for range time.Tick(10 * time.Second) {
		debug.ReadGCStats(&stats)
		if stats.NumGC == last && last != own {
			debug.FreeOSMemory()
			debug.ReadGCStats(&stats)
			own = stats.NumGC
		}
		last = stats.NumGC
	}
}
