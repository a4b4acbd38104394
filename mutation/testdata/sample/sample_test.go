package sample

import "testing"

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
