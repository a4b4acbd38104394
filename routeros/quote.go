package routeros

import (
	"fmt"
	"strings"
)

// Quote writes a string as RouterOS's scripting language does, so that it means just itself: no
// variable, no escape and no end of the string can come from it. Whatever is not a plain character
// is given by its bytes.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\' || c == '$':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '?' || c < ' ' || c > '~':
			// A bare question mark asks the console for help.
			fmt.Fprintf(&b, `\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
