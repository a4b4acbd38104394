package failing

import "testing"

func TestValue(t *testing.T) { t.Fatal("it is ", Value()) }
