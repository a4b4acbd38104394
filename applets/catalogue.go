package applets

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
)

//go:embed catalogue.txt
var catalogueText string

//go:embed base.config
var baseText string

// option is one setting of busybox's configuration.
type option struct{ symbol, value string }

func (o option) line() string { return "CONFIG_" + o.symbol + "=" + o.value }

var (
	// catalogue has each applet's own symbol and the options that go with it.
	catalogue = parseCatalogue(catalogueText)
	base      = parseOptions(fields(baseText))
)

// Catalogue returns the names of all applets that a list may contain.
func Catalogue() []string { return slices.Sorted(maps.Keys(catalogue)) }

func parseCatalogue(text string) map[string][]option {
	all := map[string][]option{}
	for line := range strings.Lines(text) {
		words := fields(line)
		if len(words) == 0 {
			continue
		}
		name, rest := words[0], words[1:]
		symbol := strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
		if len(rest) > 0 && strings.HasPrefix(rest[0], "=") {
			symbol, rest = rest[0][1:], rest[1:]
		}
		all[name] = append([]option{{symbol, "y"}}, parseOptions(rest)...)
	}
	return all
}

func parseOptions(words []string) []option {
	var options []option
	for _, w := range words {
		symbol, value, valued := strings.Cut(w, "=")
		if !valued {
			value = "y"
		}
		options = append(options, option{symbol, value})
	}
	return options
}

// fields returns the words of a text without its comments.
func fields(text string) []string {
	var words []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words = append(words, strings.Fields(line)...)
	}
	return words
}
