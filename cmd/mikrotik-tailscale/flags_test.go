package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/pflag"
)

// onlyInTheModule has the arguments of the Dagger module's constructor without a flag in the command, with the
// reason.
var onlyInTheModule = map[string]string{
	"go-image":          "the command uses no container images",
	"debian-image":      "the command uses no container images",
	"source-date-epoch": "the command reads SOURCE_DATE_EPOCH",
	"cache-key":         "the command has --no-cache",
}

// onlyInTheCommand has the flags that are about how the command builds, not what.
var onlyInTheCommand = []string{"arch", "output", "cache-dir", "jobs", "install-tools", "no-cache", "help"}

// The command and the module have the same options under the same names.
func TestTheCommandHasTheModulesOptions(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	asJSON := false
	flags := buildCommand(&asJSON).Flags()
	module := map[string]bool{}
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || f.Name.Name != "New" {
			continue
		}
		for _, field := range f.Type.Params.List {
			if name := field.Names[0].Name; name != "ctx" {
				module[kebab(name)] = true
			}
		}
	}
	if len(module) < 20 {
		t.Fatalf("the constructor has only %d arguments", len(module))
	}
	for name := range module {
		if flags.Lookup(name) == nil && onlyInTheModule[name] == "" {
			t.Errorf("the module has the argument %s, but build has no such flag", name)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !module[f.Name] && !slices.Contains(onlyInTheCommand, f.Name) {
			t.Errorf("build has the flag --%s, but the module has no such argument", f.Name)
		}
	})
}

// kebab returns an argument's name in the form that the dagger command shows.
func kebab(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
