package archive

import (
	"fmt"
	"strconv"
	"time"
)

// lastSecond is the latest time that a plain tar header can hold, in the year 2242. A later one
// would need an extended header.
const lastSecond = 1<<33 - 1

// SourceDateEpoch reads the value of the environment variable SOURCE_DATE_EPOCH, which sets the
// time that everything in an image carries. An empty value means 1970, as it does to apko and ko.
func SourceDateEpoch(value string) (time.Time, error) {
	if value == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err != nil || seconds > lastSecond {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: give whole seconds since 1970, from 0 to %d, or leave it empty for 0",
			value, int64(lastSecond))
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

// stamp makes a time fit for tar headers and for the image's configuration: whole seconds, in
// UTC. The zero time means 1970.
func stamp(t time.Time) (time.Time, error) {
	if t.IsZero() {
		return time.Unix(0, 0).UTC(), nil
	}
	if s := t.Unix(); s < 0 || s > lastSecond {
		return time.Time{}, fmt.Errorf("the time %s does not fit a tar header: give one from 1970 to 2242", t.UTC().Format(time.RFC3339))
	}
	return t.Truncate(time.Second).UTC(), nil
}
