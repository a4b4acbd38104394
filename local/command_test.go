package local

import (
	"runtime"
	"sync"
	"testing"
)

// Linux ends a command with its parent's thread, and Go's runtime ends a thread with a goroutine that is locked to it.
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
