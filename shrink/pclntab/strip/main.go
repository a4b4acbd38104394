// Strip removes everything from a Go program's function table that is only used to print crashes.
package main

import (
	"flag"
	"fmt"
	"os"

	"dagger/mikrotik-tailscale/shrink/pclntab"
)

func main() {
	short := flag.Bool("short", false, "shorten records, for a runtime that was changed to read them")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: strip [-short] PROGRAM STRIPPED")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *short); err != nil {
		fmt.Fprintln(os.Stderr, "strip:", err)
		os.Exit(1)
	}
}

func run(program, stripped string, short bool) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	strip := pclntab.Strip
	if short {
		strip = pclntab.StripShort
	}
	if err := strip(content); err != nil {
		return fmt.Errorf("stripping %s: %w", program, err)
	}
	return os.WriteFile(stripped, content, 0o755)
}
