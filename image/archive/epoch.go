package archive

import (
	"fmt"
	"strconv"
	"time"
)

// lastSecond is the latest time that a plain tar header can store, in the year 2242. A later one would need an
// extended header.
const lastSecond = 1<<33 - 1

// SourceDateEpoch parses the value of the environment variable SOURCE_DATE_EPOCH, the timestamp of everything in an
// image. An empty value means 1970, as in apko and ko.
func SourceDateEpoch(value string) (time.Time, error) {
	if value == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err != nil || seconds > lastSecond {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: want whole seconds since 1970, from 0 to %d, or nothing for 0",
			value, int64(lastSecond))
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

// stamp rounds a time down to whole seconds in UTC, for tar headers and for the image's configuration. The zero time
// means 1970.
func stamp(t time.Time) (time.Time, error) {
	if t.IsZero() {
		return time.Unix(0, 0).UTC(), nil
	}
	if s := t.Unix(); s < 0 || s > lastSecond {
		return time.Time{}, fmt.Errorf("the time %s does not fit into a tar header: want one from 1970 to 2242", t.UTC().Format(time.RFC3339))
	}
	return t.Truncate(time.Second).UTC(), nil
}
