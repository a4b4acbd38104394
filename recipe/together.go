package recipe

import (
	"context"
	"errors"

	"github.com/sourcegraph/conc"
)

// Together runs functions at the same time, and waits for all. The first one that fails stops the others: their context
// ends. Together returns the failures as one error. Stages that need the same stage or the same packages fail with the same
// error, which it contains once. It leaves out functions that were stopped, unless nothing else has failed.
func Together(ctx context.Context, runs ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(runs))
	var group conc.WaitGroup
	for i, run := range runs {
		group.Go(func() {
			if errs[i] = run(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	group.Wait()
	return asOne(errs)
}

// failures is what Together makes of several errors.
type failures []error

func (f failures) Error() string   { return errors.Join(f...).Error() }
func (f failures) Unwrap() []error { return f }

// asOne returns the failures of several functions as one error, or nil if there is none.
func asOne(errs []error) error {
	var failed, stopped failures
	seen := map[string]bool{}
	for _, err := range errs {
		parts, ok := err.(failures)
		if !ok {
			parts = failures{err}
		}
		for _, part := range parts {
			switch {
			case part == nil || seen[part.Error()]:
				continue
			case errors.Is(part, context.Canceled):
				stopped = append(stopped, part)
			default:
				failed = append(failed, part)
			}
			seen[part.Error()] = true
		}
	}
	all := failed
	if len(all) == 0 {
		all = stopped
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}
