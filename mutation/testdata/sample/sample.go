// Package sample has code whose tests notice some mutants and not others.
package sample

// Larger has a test that notices every mutant.
func Larger(a, b int) int {
	if a > b {
		return a
	}
	return b
}

// Names has a test that looks at the first name only.
func Names() []string { return []string{"first", "second"} }

// Untested has no test.
func Untested() int { return 1 }
