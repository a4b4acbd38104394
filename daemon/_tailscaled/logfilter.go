//go:build ts_omit_logtail

// This file is added to Tailscale's cmd/tailscaled. Verbose lines are marked "[v1] " or "[v2] "
// where they are written and are sorted out by logtail. A daemon built without logtail would
// print them all, and a router's log holds a thousand lines.

package main

import (
	"bytes"
	"io"
	"log"
	"os"
)

func init() { log.SetOutput(verbosityFilter{os.Stderr}) }

// verbosityFilter passes on the lines that --verbose (by default TS_LOG_VERBOSITY) asks for.
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
	// Structured records are meant for Tailscale's log server alone.
	if bytes.Contains(line, []byte("[v\x00JSON]")) {
		return len(line), nil
	}
	return f.w.Write(line)
}
