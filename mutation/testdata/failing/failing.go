// Package failing has a test that fails without any mutant.
package failing

// Value is what the test does not want.
func Value() int { return 1 }
