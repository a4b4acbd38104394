// Pack shrinks a PEM file of CA certificates, so that it can be part of a program.
package main

import (
	"fmt"
	"os"

	"dagger/mikrotik-tailscale/shrink/roots"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack CERTIFICATES PACKED")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(certificates, packed string) error {
	text, err := os.ReadFile(certificates)
	if err != nil {
		return err
	}
	content, err := roots.Pack(text)
	if err != nil {
		return fmt.Errorf("packing %s: %w", certificates, err)
	}
	return os.WriteFile(packed, content, 0o644)
}
