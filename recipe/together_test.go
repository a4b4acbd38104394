package recipe

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestAFailureOfSeveralStagesIsToldOnce(t *testing.T) {
	shared, other := errors.New("no Debian root"), errors.New("no musl")
	failing := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	platform := func(ctx context.Context) error {
		return Together(ctx, failing(nil), failing(shared), failing(other))
	}
	err := Together(t.Context(), failing(shared), platform, platform, failing(errors.New("no Debian root")))
	if err == nil || err.Error() != "no Debian root\nno musl" || !errors.Is(err, shared) || !errors.Is(err, other) {
		t.Errorf("the stages fail with %v", err)
	}
	if err := Together(t.Context(), failing(nil), failing(nil)); err != nil {
		t.Errorf("stages that work fail with %v", err)
	}
}

func TestTheFirstFailureStopsTheOthers(t *testing.T) {
	failure := errors.New("wrong checksum")
	untilStopped := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("musl arm: %w", context.Cause(ctx))
	}
	err := Together(t.Context(), untilStopped, func(context.Context) error { return failure }, untilStopped)
	if err != failure {
		t.Errorf("the error is %v, want that of the failure alone", err)
	}

	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := Together(interrupted, untilStopped, untilStopped); !errors.Is(err, context.Canceled) || err.Error() != "musl arm: context canceled" {
		t.Errorf("the error of an interrupted run is %v", err)
	}
}
