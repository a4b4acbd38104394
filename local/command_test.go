package local

import (
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
