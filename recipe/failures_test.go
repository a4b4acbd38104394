package recipe

import (
	"errors"
	"testing"
)

func TestAFailureOfSeveralStagesIsToldOnce(t *testing.T) {
	shared, other := errors.New("no Debian root"), errors.New("no musl")
	err := Failures([]error{nil, shared, other, errors.New("no Debian root"), nil})
	if err == nil || err.Error() != "no Debian root\nno musl" || !errors.Is(err, shared) || !errors.Is(err, other) {
		t.Errorf("the stages fail with %v", err)
	}
	if err := Failures([]error{nil, nil}); err != nil {
		t.Errorf("stages that work fail with %v", err)
	}
}
