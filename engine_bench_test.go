package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/platform"
)

// timedCall runs the module as a user would and tells how long that took.
func timedCall(b *testing.B, key string, args ...string) time.Duration {
	b.Helper()
	began := time.Now()
	out, err := daggerCall(b, append([]string{"--cache-key", key}, args...)...)
	if err != nil {
		b.Fatalf("dagger call %s: %v\n%s", strings.Join(args, " "), err, lastLines(out, 40))
	}
	return time.Since(began)
}

// BenchmarkEngine measures calls on a live engine, side by side: with nothing in its cache, with
// everything, and with one input changed. Each round has a cache key of its own.
func BenchmarkEngine(b *testing.B) {
	needEngine(b)
	for round := 0; b.Loop(); round++ {
		parallel, row := fmt.Sprintf("bench-%d-%d-a", time.Now().UnixNano(), round), fmt.Sprintf("bench-%d-%d-b", time.Now().UnixNano(), round)
		dir := b.TempDir()
		tarballs := []string{"tarballs", "export", "--path", dir}
		row4 := time.Duration(0)
		// Each line as soon as it is known, since the whole takes long; a benchmark's own log, besides, is
		// cut after ten lines.
		tell := func(what string, took time.Duration) { fmt.Printf("%8.1f s  %s\n", took.Seconds(), what) }
		fmt.Println()
		tell("four platforms at once, cold", timedCall(b, parallel, tarballs...))
		tell("the same again, warm", timedCall(b, parallel, tarballs...))
		tell("with other applets", timedCall(b, parallel, append([]string{"--applet-set", "minimal"}, tarballs...)...))
		tell("with another revision", timedCall(b, parallel, append([]string{"--revision", "2"}, tarballs...)...))
		for i, t := range platform.All() {
			took := timedCall(b, row, "tarball", "--arch", t.Name, "export", "--path", filepath.Join(dir, t.Name+".tar"))
			row4 += took
			tell(fmt.Sprintf("platform %d of four in a row, cold: %s", i+1, t.Name), took)
		}
		tell("four platforms in a row, cold", row4)
	}
}
