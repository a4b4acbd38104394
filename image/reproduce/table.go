package reproduce

import (
	"fmt"
	"strings"
)

// Table returns the result as a table.
func (r Result) Table() string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(fmt.Sprintf(format, args...) + "\n") }
	line("%s", r.Reference)
	images := r.Images
	if r.Index != nil {
		index := *r.Index
		index.Platform = "index"
		images = append(images[:len(images):len(images)], index)
	}
	for _, c := range images {
		if c.Same {
			line("%-13s same       %s", c.Platform, c.Published)
			continue
		}
		line("%-13s DIFFERENT  %s, rebuilt %s", c.Platform, c.Published, c.Rebuilt)
		for _, d := range c.Differences {
			line("  %s", d)
		}
	}
	if len(r.Causes) > 0 {
		line("This build differs from the published one, which may be the cause:")
		for _, c := range r.Causes {
			line("  %s", c)
		}
	}
	verdict := "The image was rebuilt from its provenance with the same digests"
	if !r.Reproduced {
		verdict = "The published image differs from the one built from its provenance"
	}
	signature := "signatures were not checked"
	if r.Signed {
		signature = "the key has signed it"
	}
	line("%s; %s.", verdict, signature)
	return b.String()
}
