package routeros

import (
	"fmt"
	"strings"
)

// Quote returns a string as a literal of RouterOS's scripting language. No part of it can act as a variable, as an
// escape or as the end of the literal. Characters that are not plain are written as the codes of their bytes.
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
