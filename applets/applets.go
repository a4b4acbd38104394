// Package applets holds the lists of commands that an image's busybox offers, and what they mean
// for busybox's configuration and for the links in the image.
//
// A list is a text file with one applet a line, in groups that a heading in square brackets
// begins. Everything from a # on is a comment:
//
//	[network]
//	ip    # all of it: addresses, links, routes, rules, neighbours, tunnels
//	ping
package applets

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// List is a checked list of applets. The zero List is empty.
type List struct{ groups []Group }

// MarshalJSON gives the names of the applets.
func (l List) MarshalJSON() ([]byte, error) { return json.Marshal(l.Names()) }

// UnmarshalJSON reads what MarshalJSON gives. The groups of the list are lost.
func (l *List) UnmarshalJSON(text []byte) error {
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return err
	}
	for _, name := range names {
		if _, known := catalogue[name]; !known {
			return fmt.Errorf("unknown applet %q", name)
		}
	}
	list, err := Parse("applets", strings.NewReader(strings.Join(names, "\n")))
	*l = list
	return err
}

// Group is a part of a list under one heading.
type Group struct {
	Name    string
	Applets []string
}

//go:embed sets/*.txt
var sets embed.FS

// Sets lists the names of the curated lists.
func Sets() []string {
	var names []string
	entries, _ := sets.ReadDir("sets") // an embedded directory can be read
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".txt"))
	}
	return names
}

// Named gives the curated list of a name.
func Named(name string) (List, error) {
	if !slices.Contains(Sets(), name) {
		return List{}, fmt.Errorf("unknown applet set %q: choose one of %s", name, strings.Join(Sets(), ", "))
	}
	file := path.Join("sets", name+".txt")
	text, err := sets.ReadFile(file)
	if err != nil {
		return List{}, err
	}
	return Parse(file, bytes.NewReader(text))
}

// longestLine is well above what a list needs and keeps a wrong file from filling the memory.
const longestLine = 4096

// Parse reads and checks a list. The file's name is for messages, which name every problem with
// its line. A list has to have a shell, since images start with a script.
func Parse(file string, r io.Reader) (List, error) {
	var list List
	var problems []error
	at := map[string]int{}
	number := 0
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s:%d: %s", file, number, fmt.Sprintf(format, args...)))
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		number++
		line, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "\ufeff"), "#")
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "["); ok && line != "[" && line != "[[" {
			heading, ok = strings.CutSuffix(heading, "]")
			if heading = strings.TrimSpace(heading); !ok || heading == "" || strings.ContainsAny(heading, "[]") {
				problem("malformed heading %q: [name] is wanted", line)
				continue
			}
			list.groups = append(list.groups, Group{Name: heading})
			continue
		}
		switch first, again := at[line]; {
		case line == "":
			continue
		case len(strings.Fields(line)) > 1:
			problem("%q: one applet a line is wanted", line)
			continue
		case again:
			problem("applet %q stands already on line %d", line, first)
			continue
		}
		at[line] = number
		if _, known := catalogue[line]; !known {
			problem("unknown applet %q", line)
			continue
		}
		list.add(line)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		number++
		problem("the line is longer than %d bytes", longestLine)
	} else if err != nil {
		problems = append(problems, fmt.Errorf("reading %s: %w", file, err))
	}
	if len(problems) == 0 && (at["sh"] == 0 || at["ash"] == 0) {
		problems = append(problems, fmt.Errorf("%s: the applets ash and sh are wanted, since the image starts with a shell", file))
	}
	if err := errors.Join(problems...); err != nil {
		return List{}, err
	}
	list.groups = slices.DeleteFunc(list.groups, func(g Group) bool { return len(g.Applets) == 0 })
	return list, nil
}

func (l *List) add(applet string) {
	if len(l.groups) == 0 {
		l.groups = []Group{{Name: "applets"}}
	}
	last := &l.groups[len(l.groups)-1]
	last.Applets = append(last.Applets, applet)
}

// Groups lists the groups that have applets, in the order of the list.
func (l List) Groups() []Group { return l.groups }

// Names lists the applets by name.
func (l List) Names() []string {
	var names []string
	for _, g := range l.groups {
		names = append(names, g.Applets...)
	}
	slices.Sort(names)
	return names
}

// Config is the configuration of a busybox with these applets: the lines that have to stand in
// its .config, sorted. All that they do not name has to be off.
func (l List) Config() string {
	lines := map[string]bool{}
	for _, o := range base {
		lines[o.line()] = true
	}
	for _, name := range l.Names() {
		for _, o := range catalogue[name] {
			lines[o.line()] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), "\n") + "\n"
}
