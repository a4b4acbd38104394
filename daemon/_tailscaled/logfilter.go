//go:build ts_omit_logtail

// This file is added to Tailscale's cmd/tailscaled. Tailscale marks verbose lines with "[v1] " or "[v2] ", and
// logtail filters them. Without logtail, the daemon would print all of them, and a router's log only holds a thousand
// lines.

package main

import (
	"bytes"
	"io"
	"log"
	"os"
)

func init() { log.SetOutput(verbosityFilter{os.Stderr}) }

// verbosityFilter writes the lines that --verbose (by default TS_LOG_VERBOSITY) asks for.
type verbosityFilter struct{ w io.Writer }

func (f verbosityFilter) Write(line []byte) (int, error) {
	for level, mark := range [][]byte{1: []byte("[v1] "), 2: []byte("[v2] ")} {
		if level == 0 || !bytes.Contains(line, mark) {
			continue
		}
		if level > args.verbose {
			return len(line), nil
		}
		_, err := f.w.Write(bytes.Replace(line, mark, nil, 1))
		return len(line), err
	}
	// Structured records are for Tailscale's log server only.
	if bytes.Contains(line, []byte("[v\x00JSON]")) {
		return len(line), nil
	}
	return f.w.Write(line)
}
