// Symbols writes the symbols file of a Go program, before strip removes names, files and lines from it.
package main

import (
	"fmt"
	"os"

	"dagger/mikrotik-tailscale/shrink/pclntab"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: symbols PROGRAM OUTPUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "symbols:", err)
		os.Exit(1)
	}
}

func run(program, output string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	symbols, err := pclntab.Symbols(content)
	if err != nil {
		return fmt.Errorf("extracting the symbols of %s: %w", program, err)
	}
	return os.WriteFile(output, symbols, 0o644)
}
