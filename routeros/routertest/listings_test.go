package routertest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// consoleListing is a release's own listing of its menus, commands and arguments, by name.
type consoleListing map[string]any

// at returns the part of the listing at a path, or nil.
func (l consoleListing) at(path string) map[string]any {
	found := map[string]any(l)
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		found, _ = found[name].(map[string]any)
	}
	return found
}

// commandPattern matches commands with a menu, but no addresses, files or media types.
var commandPattern = regexp.MustCompile(`(?:^|[\s\[{(])(/[a-z0-9]+(?:/[a-z0-9-]+)*/(?:add|set|get|find|remove|start|stop|shell|enable|fetch))\b`)

// The listings are published for each release. ROUTEROS_LISTINGS is a directory with downloaded listings, for example
// 7.24.json.
func TestTheTableIsInTheListings(t *testing.T) {
	dir := os.Getenv("ROUTEROS_LISTINGS")
	if dir == "" {
		t.Skip("ROUTEROS_LISTINGS names no directory with the console listings of releases")
	}
	files, err := filepath.Glob(filepath.Join(dir, "7.*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no listings in %s: %v", dir, err)
	}
	used := commandsOfTheTemplates(t)
	for _, file := range files {
		release := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(release, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var l consoleListing
			if err := json.Unmarshal(text, &l); err != nil {
				t.Fatal(err)
			}
			minor, err := strconv.Atoi(strings.Split(release, ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			arguments := 0
			for command, line := range commandTable {
				known := l.at(command)
				for argument := range strings.FieldsSeq(line) {
					name, _, _ := strings.Cut(argument, "@")
					arguments++
					if knows(command, name, minor) && known[name] == nil {
						t.Errorf("%s has no argument %s", command, name)
					}
				}
			}
			for command := range used {
				if l.at(command) == nil && (!strings.HasPrefix(command, "/app/") || minor >= 22) {
					t.Errorf("there is no command %s", command)
				}
			}
			t.Logf("%d arguments, %d commands", arguments, len(used))
		})
	}
}

func commandsOfTheTemplates(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../templates/*.rsc")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	used := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range commandPattern.FindAllStringSubmatch(string(text), -1) {
			used[found[1]] = true
		}
	}
	return used
}
