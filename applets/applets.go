// Package applets reads the lists of applets in an image's busybox, and turns them into busybox's configuration.
//
// A list is a text file with one applet per line, in groups that start with a heading in square brackets. Everything
// after a # is a comment:
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

// MarshalJSON returns the names of the applets.
func (l List) MarshalJSON() ([]byte, error) { return json.Marshal(l.Names()) }

// UnmarshalJSON parses the output of MarshalJSON. The groups of the list are lost.
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

// Sets returns the names of the curated lists.
func Sets() []string {
	var names []string
	entries, _ := sets.ReadDir("sets") // reading an embedded directory never fails
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".txt"))
	}
	return names
}

// Named returns the curated list with the given name.
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

// longestLine is far more than a list needs. It stops a wrong file from filling the memory.
const longestLine = 4096

// Parse reads and checks a list. file is the name for error messages, which list every problem with its line. A list
// must contain a shell, because images start with a script.
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
				problem("malformed heading %q: want [name]", line)
				continue
			}
			list.groups = append(list.groups, Group{Name: heading})
			continue
		}
		switch first, again := at[line]; {
		case line == "":
			continue
		case len(strings.Fields(line)) > 1:
			problem("%q: want one applet per line", line)
			continue
		case again:
			problem("duplicate applet %q (first on line %d)", line, first)
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
		problems = append(problems, fmt.Errorf("%s: missing applets ash and sh: the image starts with a shell script", file))
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

// Groups returns the groups that have applets, in the order of the list.
func (l List) Groups() []Group { return l.groups }

// Names returns the names of the applets, sorted.
func (l List) Names() []string {
	var names []string
	for _, g := range l.groups {
		names = append(names, g.Applets...)
	}
	slices.Sort(names)
	return names
}

// Config returns the lines that busybox's .config must contain for these applets, sorted. All other options must be
// off.
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
