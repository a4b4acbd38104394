// This file is added to Tailscale's cmd/tailscaled, with package idle. It returns memory to the kernel that the daemon
// doesn't use.

package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"tailscale.com/cmd/tailscaled/idle"
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
	go func() {
		var memory idle.Memory
		for range time.Tick(10 * time.Second) {
			memory.Look()
		}
	}()
}
