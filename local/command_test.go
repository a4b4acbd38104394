package local

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Linux ends a command when its parent thread exits, and Go's runtime ends a thread when a goroutine locked to it
// returns.
func TestACommandOutlivesTheThreadsOfOthers(t *testing.T) {
	var commands, others sync.WaitGroup
	ended := make(chan struct{})
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				var one sync.WaitGroup
				one.Go(runtime.LockOSThread)
				one.Wait()
			}
		})
	}
	for range 50 {
		commands.Go(func() {
			if _, err := runCommand(t.Context(), nil, "sleep", "1"); err != nil {
				t.Error(err)
			}
		})
	}
	commands.Wait()
	close(ended)
	others.Wait()
}

func TestACommandReadsAndWritesFiles(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	input, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = input.Close() }()
	output, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	printed, err := command{argv: []string{"cat"}, input: input, output: output}.run(t.Context())
	if err != nil || printed != "" {
		t.Errorf("it printed %q (%v)", printed, err)
	}
	if got := read(t, to); got != "text" {
		t.Errorf("the file has %q", got)
	}
}
