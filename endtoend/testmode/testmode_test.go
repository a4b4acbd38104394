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

// The directory of the module may have any name.
func TestLongTestsOfTheModulesOwnPackage(t *testing.T) {
	t.Setenv(LongTests, ".")
	if IsLong() {
		t.Error(`"." selects this package`)
	}
	t.Chdir("../..")
	if !IsLong() {
		t.Error(`"." doesn't select the package of the module's directory`)
	}
}
