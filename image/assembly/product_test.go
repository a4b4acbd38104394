package assembly

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

func TestAFailureOfSeveralPlatformsIsToldOnce(t *testing.T) {
	shared := errors.New("no Debian root")
	outputs := func(_ context.Context, s recipe.Stage) (string, error) {
		if s.Name == "compress busybox" && s.Platform == "arm" {
			return "", errors.New("no busybox")
		}
		return "", shared
	}
	resolve := func(context.Context) (recipe.Resolved, error) { return recipe.Resolved{}, nil }
	_, err := MakeAll(t.Context(), outputs, platform.All(), recipe.Config{}, resolve, "", t.TempDir())
	want := "no Debian root\nno busybox"
	if err == nil || !errors.Is(err, shared) {
		t.Fatalf("error = %v, want that of the shared stage", err)
	}
	lines := strings.Split(err.Error(), "\n")
	slices.Sort(lines)
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("error:\n%s\nwant:\n%s", got, want)
	}
}

func TestTheFirstFailureStopsEverythingElse(t *testing.T) {
	untilStopped := func(ctx context.Context, s recipe.Stage) (string, error) {
		<-ctx.Done()
		return "", fmt.Errorf("%s: %w", s.Title(), context.Cause(ctx))
	}
	failing := func(title string) StageRunner {
		return func(ctx context.Context, s recipe.Stage) (string, error) {
			if s.Title() == title {
				return "", errors.New("wrong checksum")
			}
			return untilStopped(ctx, s)
		}
	}
	known := func(context.Context) (recipe.Resolved, error) { return recipe.Resolved{}, nil }
	unknown := func(ctx context.Context) (recipe.Resolved, error) {
		<-ctx.Done()
		return recipe.Resolved{}, fmt.Errorf("features: %w", context.Cause(ctx))
	}
	for _, c := range []struct {
		fails   string
		resolve func(context.Context) (recipe.Resolved, error)
	}{
		{"compress busybox arm", known},
		{"compress busybox arm", unknown},
		{"compress tailscale arm", known},
	} {
		_, err := MakeAll(t.Context(), failing(c.fails), platform.All(), recipe.Config{}, c.resolve, "", t.TempDir())
		if want := "wrong checksum"; err == nil || err.Error() != want {
			t.Errorf("%s fails: error = %v, want %s", c.fails, err, want)
		}
	}
}
