package recipe

import (
	"fmt"
	"slices"
	"strings"
)

// neededFeatures are the features without which the image's own entrypoint can't log in or follow the daemon.
var neededFeatures = []string{"cli", "ipnbus", "unixsocketidentity"}

// missingFeatures returns an error if the selected features lack one that the image's own entrypoint needs. The usual
// reason is a forgotten +, because plain names replace the default list.
func missingFeatures(given, selected []string) error {
	var missing, added []string
	for _, f := range neededFeatures {
		if !slices.Contains(selected, f) {
			missing = append(missing, f)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	for _, f := range given {
		if !strings.HasPrefix(f, "-") && !slices.Contains(Features(), f) {
			added = append(added, "+"+f)
		}
	}
	hint := "keep the default list"
	if len(added) > 0 {
		hint = fmt.Sprintf("write %s to add to the default list, because plain names replace it", strings.Join(added, ","))
	}
	return fmt.Errorf("the features lack %s, which the image's entrypoint needs: %s, or set your own entrypoint",
		strings.Join(missing, ", "), hint)
}

// Warnings returns a sentence for each part of a valid configuration that is probably a mistake.
func (c Config) Warnings() []string {
	var all []string
	if !slices.Contains(c.Features, "osrouter") {
		all = append(all, "the features lack osrouter: Tailscale sets no addresses or routes in the kernel, so hosts behind the router can't use the tailnet")
	}
	if minor, ok := minorOf(c.TailscaleVersion); ok && minor%2 == 1 {
		all = append(all, fmt.Sprintf("Tailscale %s is an unstable release: stable releases have an even second number", c.TailscaleVersion))
	}
	return all
}
