// This file is added to Tailscale's cmd/tailscaled. The launcher executes the program from a file in memory, so the
// kernel would name the process after that file, or with a number. This file sets the name that top and RouterOS show.

package main

import (
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	if name, err := unix.BytePtrFromString(filepath.Base(os.Args[0])); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
	}
}
