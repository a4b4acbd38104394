// Strip removes everything from a Go program's function table that is only used to print crashes.
package main

import (
	"fmt"
	"os"

	"dagger/mikrotik-tailscale/shrink/pclntab"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: strip PROGRAM STRIPPED")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "strip:", err)
		os.Exit(1)
	}
}

func run(program, stripped string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	if err := pclntab.Strip(content); err != nil {
		return fmt.Errorf("stripping %s: %w", program, err)
	}
	return os.WriteFile(stripped, content, 0o755)
}
