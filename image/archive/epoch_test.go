package archive

import (
	"strings"
	"testing"
)

func TestSourceDateEpoch(t *testing.T) {
	for value, want := range map[string]int64{
		"":           0,
		"0":          0,
		"1700000000": 1700000000,
		"8589934591": lastSecond,
	} {
		got, err := SourceDateEpoch(value)
		if err != nil {
			t.Errorf("SourceDateEpoch(%q): %v", value, err)
		} else if got.Unix() != want || got.Location().String() != "UTC" {
			t.Errorf("SourceDateEpoch(%q) = %s; want %d in UTC", value, got, want)
		}
	}
	for _, value := range []string{"-1", "1.5", "now", "2024-01-01", " 1", "1 ", "+1", "0x10", "8589934592", "18446744073709551616"} {
		got, err := SourceDateEpoch(value)
		if err == nil {
			t.Errorf("SourceDateEpoch(%q) = %s; want an error", value, got)
			continue
		}
		for _, part := range []string{"SOURCE_DATE_EPOCH", `"` + value + `"`, "seconds since 1970"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("SourceDateEpoch(%q): the error is %q; want %q in it", value, err, part)
			}
		}
	}
}
