package assembly

import (
	"context"
	"errors"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func TestTheShellIsMadeWhileFeaturesAreResolved(t *testing.T) {
	begun, ended := make(chan string), make(chan error, len(platform.All()))
	outputs := func(ctx context.Context, s recipe.Stage) (string, error) {
		begun <- s.Title()
		<-ctx.Done()
		ended <- ctx.Err()
		return "", ctx.Err()
	}
	unknown := errors.New("no such feature")
	resolve := func(context.Context) (recipe.Resolved, error) {
		for range platform.All() {
			if title := <-begun; !strings.HasPrefix(title, "compress busybox ") {
				t.Errorf("%s began without knowing the features", title)
			}
		}
		return recipe.Resolved{}, unknown
	}
	_, err := MakeAll(t.Context(), outputs, platform.All(), recipe.Config{}, resolve, "", t.TempDir())
	if err != unknown {
		t.Errorf("error = %v, want that of the features alone", err)
	}
	if len(ended) != len(platform.All()) {
		t.Errorf("%d of %d stages ended with the error", len(ended), len(platform.All()))
	}
}
