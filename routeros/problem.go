package routeros

import "fmt"

// Problem is one mistake in the options.
type Problem struct {
	// Option is the name of the setting to change.
	Option string
	err    error
}

func newProblem(option, format string, a ...any) Problem {
	return Problem{option, fmt.Errorf(format, a...)}
}

func (p Problem) Error() string { return p.err.Error() }

func (p Problem) Unwrap() error { return p.err }

// Problems returns all mistakes in an error of this package.
func Problems(err error) []Problem {
	switch e := err.(type) {
	case Problem:
		return []Problem{e}
	case interface{ Unwrap() []error }:
		var all []Problem
		for _, part := range e.Unwrap() {
			all = append(all, Problems(part)...)
		}
		return all
	case interface{ Unwrap() error }:
		return Problems(e.Unwrap())
	}
	return nil
}

// problems collects mistakes, so that one error contains them all.
type problems []error

func (p *problems) add(option, format string, a ...any) {
	*p = append(*p, newProblem(option, format, a...))
}

// put adds an error about an option. Parts that are problems of other options keep their option.
func (p *problems) put(option string, err error) {
	if len(Problems(err)) == 0 {
		err = Problem{option, err}
	}
	*p = append(*p, err)
}
