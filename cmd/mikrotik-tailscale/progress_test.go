package main

import (
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/local"
)

func TestProgressShowsTheNotesOfAStage(t *testing.T) {
	var printed strings.Builder
	p := newProgress(&printed)
	p.observe(local.Event{Title: "tailscale arm", State: local.Started})
	p.observe(local.Event{Title: "tailscale arm", State: local.Noted, Note: "other code"})
	p.close()
	if got, want := printed.String(), "tailscale arm: started\ntailscale arm: note: other code\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
