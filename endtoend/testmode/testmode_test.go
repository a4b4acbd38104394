package testmode

import "testing"

func TestLongTestsOfSomePackages(t *testing.T) {
	for value, want := range map[string]bool{"": false, "1": true, "0": false, "testmode": true, "recipe,testmode": true, "recipe": false, "test": false} {
		t.Setenv(LongTests, value)
		if got := IsLong(); got != want {
			t.Errorf("%s=%q: %v; want %v", LongTests, value, got, want)
		}
	}
}
