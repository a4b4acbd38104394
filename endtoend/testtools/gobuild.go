package testtools

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"dagger/mikrotik-tailscale/recipe"
)

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
	args = append([]string{"-gcflags=all=-l " + recipe.NoDebug, "-ldflags=-s -w"}, args...)
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
