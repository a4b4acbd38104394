package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/platform"
)

// timedCall runs the module like a user and returns how long that took.
func timedCall(b *testing.B, key string, args ...string) time.Duration {
	b.Helper()
	began := time.Now()
	out, err := daggerCall(b, append([]string{"--cache-key", key}, args...)...)
	if err != nil {
		b.Fatalf("dagger call %s: %v\n%s", strings.Join(args, " "), err, lastLines(out, 40))
	}
	return time.Since(began)
}

// BenchmarkEngine measures calls on a live engine: with an empty cache, with a full one, and with one changed input.
// It compares building all platforms at once with building one after the other: a tarball for each, with its
// attestations. Each round has its own cache keys. Rounds alternate in what runs first, and the fastest of each
// counts, because other work on the machine can only slow a round down.
func BenchmarkEngine(b *testing.B) {
	needEngine(b)
	dir := b.TempDir()
	tarballs := []string{"tarballs", "export", "--path", dir}
	// Lines are printed immediately, because the benchmark takes long, and a benchmark's own log is cut after ten
	// lines.
	tell := func(what string, took time.Duration) { fmt.Printf("%8.1f s  %s\n", took.Seconds(), what) }
	parallel := func(round string) time.Duration {
		took := timedCall(b, round, tarballs...)
		tell("four platforms at once, cold", took)
		return took
	}
	row := func(round string) (took time.Duration) {
		for i, t := range platform.All() {
			one := timedCall(b, round+"-row", "tarballs", "--platforms", t.Name, "export", "--path", filepath.Join(dir, t.Name))
			tell(fmt.Sprintf("platform %d of four in a row, cold: %s", i+1, t.Name), one)
			took += one
		}
		tell("four platforms in a row, cold", took)
		return took
	}
	var atOnce, inARow []time.Duration
	for round := 0; b.Loop(); round++ {
		key := fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), round)
		fmt.Println()
		if round%2 == 1 {
			inARow = append(inARow, row(key))
			atOnce = append(atOnce, parallel(key))
			continue
		}
		atOnce = append(atOnce, parallel(key))
		tell("the same again, warm", timedCall(b, key, tarballs...))
		tell("with other applets", timedCall(b, key, append([]string{"--applet-set", "minimal"}, tarballs...)...))
		tell("with another revision", timedCall(b, key, append([]string{"--revision", "2"}, tarballs...)...))
		inARow = append(inARow, row(key))
	}
	fmt.Println()
	tell(fmt.Sprintf("four platforms at once, the fastest of %d", len(atOnce)), slices.Min(atOnce))
	tell(fmt.Sprintf("four platforms in a row, the fastest of %d", len(inARow)), slices.Min(inARow))
}
