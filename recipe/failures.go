package recipe

import "errors"

// Failures returns the errors of several stages as one, or nil if there is none. Stages that need the same stage or the
// same packages fail with the same error, which it contains once.
func Failures(errs []error) error {
	var distinct []error
	seen := map[string]bool{}
	for _, err := range errs {
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			distinct = append(distinct, err)
		}
	}
	return errors.Join(distinct...)
}
