package testtools

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// Stripped are flags for programs like Tailscale in the image: no inlining, no symbols. Tests use them for all programs
// that don't need others, and so share the compiled standard library.
var Stripped = []string{"-trimpath", "-gcflags=all=-l " + recipe.NoDebug, "-ldflags=-s -w"}

// Environment returns the environment in which the go command compiles for a platform.
func Environment(target platform.Target) []string {
	return append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=0",
		"GOOS="+target.OS, "GOARCH="+target.Architecture, "GOARM="+target.GOARM)
}

// BuildFor compiles a program of this module, or one file, for a platform.
func BuildFor(t testing.TB, target platform.Target, program, source string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build", "-o", program}, Stripped, []string{source})...)
	cmd.Env = Environment(target)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compiling %s for %s: %v\n%s", source, target, err, out)
	}
}

// Go returns a go command for another module. Settings for this module don't apply to it.
func Go(ctx context.Context, subcommand string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", append([]string{subcommand}, args...)...)
	// The module may need a later Go release than this machine's.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOTOOLCHAIN=auto")
	return cmd
}

// QuickGo is like Go, for "go build" and "go install" of a program with hundreds of packages. Compiling takes little
// more than half of the processor time, and the program is slower.
func QuickGo(ctx context.Context, subcommand string, args ...string) *exec.Cmd {
	args = slices.Concat(Stripped, args)
	var env []string
	for _, v := range recipe.CompilerMemory() {
		env = append(env, v.Name+"="+v.Value)
	}
	// As in the recipe's own stages.
	if processors := runtime.NumCPU(); processors <= 2 {
		args = append([]string{fmt.Sprintf("-p=%d", processors)}, args...)
		env = append(env, "GOMAXPROCS=1")
	}
	cmd := Go(ctx, subcommand, args...)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}
