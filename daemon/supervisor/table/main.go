// Command table writes the table of environment variables into a page of the documentation, from the supervisor's own
// table: go run ./daemon/supervisor/table docs/reference.md
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/daemon/supervisor"
	"dagger/mikrotik-tailscale/recipe"
)

// The table is between these lines of the page.
const (
	begin = "<!-- variables: written by \"go run ./daemon/supervisor/table docs/reference.md\" -->\n"
	end   = "<!-- end of variables -->\n"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table PAGE")
		os.Exit(2)
	}
	page, err := os.ReadFile(os.Args[1])
	if err == nil {
		page, err = insert(page)
	}
	if err == nil {
		err = os.WriteFile(os.Args[1], page, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// insert returns a page with the current table.
func insert(page []byte) ([]byte, error) {
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return nil, fmt.Errorf("the page lacks the lines\n%s%s", begin, end)
	}
	table, err := table()
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{before, []byte(begin), []byte(table), []byte(end), after}, nil), nil
}

// table returns the table in Markdown. The effect of a variable is the comment on its line.
func table() (string, error) {
	source, err := supervisor.Source.ReadFile("variables.go")
	if err != nil {
		return "", err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "variables.go", source, parser.ParseComments)
	if err != nil {
		return "", err
	}
	line := func(p token.Pos) int { return files.Position(p).Line }
	comments := map[int]string{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			comments[line(c.Pos())] = strings.TrimSpace(strings.TrimPrefix(c.Text, "//"))
		}
	}
	effects := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			name := strings.Trim(literal.Value, `"`)
			if _, known := effects[name]; !known {
				effects[name] = comments[line(literal.Pos())]
			}
		}
		return true
	})
	var b strings.Builder
	b.WriteString("| variable | type | default | effect |\n|---|---|---|---|\n")
	for _, v := range supervisor.Variables {
		effect := effects[v.Name]
		if effect == "" {
			return "", fmt.Errorf("%s has no comment that says what it does", v.Name)
		}
		if v.Feature != "" && !slices.Contains(recipe.Features(), v.Feature) {
			effect += ". Needs an image built with `--features=+" + v.Feature + "`"
		}
		fallback := v.Default
		if fallback != "" && !strings.Contains(fallback, " ") && fallback != "Tailscale's" {
			fallback = "`" + fallback + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.Name, v.Kind, fallback, effect)
	}
	return b.String(), nil
}
