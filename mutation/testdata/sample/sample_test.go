package sample

import (
	"os"
	"testing"
)

func TestLarger(t *testing.T) {
	if Larger(1, 2) != 2 || Larger(2, 1) != 2 {
		t.Error("the smaller number is the larger one")
	}
}

func TestNames(t *testing.T) {
	if Names()[0] != "first" {
		t.Error("another name comes first")
	}
}

// The program that makes mutants has tests, which set this variable.
func TestFileOutside(t *testing.T) {
	if name := os.Getenv("FILE_OUTSIDE"); name != "" {
		if _, err := os.ReadFile(name); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err == nil {
			t.Errorf("%s can be changed", name)
		}
	}
}
