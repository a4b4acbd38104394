package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// The dagger command lists functions by the first line of their comments, and keeps the line breaks in the help of
// arguments. So the first line must be a whole, short sentence, and each paragraph must be one line.
func TestHelpReadsWell(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".gen.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			functions++
			first, _, _ := strings.Cut(f.Doc.Text(), "\n")
			if len(first) > 75 || !strings.HasSuffix(first, ".") {
				t.Errorf("%s: the first line is not a sentence of at most 75 characters: %q", f.Name, first)
			}
			oneLine(t, f.Name.Name, f.Doc)
			for _, argument := range arguments(t, parsed, f) {
				if argument.text == nil {
					t.Errorf("%s: the argument %s has no help", f.Name, argument.name)
					continue
				}
				oneLine(t, f.Name.Name+" "+argument.name, argument.text)
			}
		}
	}
	if functions < 20 {
		t.Errorf("only %d functions were looked at", functions)
	}
}

// oneLine fails for a paragraph with line breaks.
func oneLine(t *testing.T, what string, text *ast.CommentGroup) {
	t.Helper()
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text.Text()), "\n\n") {
		if lines := strings.Split(paragraph, "\n"); len(lines) > 1 && !strings.HasPrefix(lines[0], "+") {
			t.Errorf("%s: a paragraph has %d lines:\n%s", what, len(lines), paragraph)
		}
	}
}

type argument struct {
	name string
	text *ast.CommentGroup
}

// arguments returns a function's arguments with the comments above them. The context has no help.
func arguments(t *testing.T, file *ast.File, f *ast.FuncDecl) (all []argument) {
	t.Helper()
	before := f.Type.Params.Opening
	for _, field := range f.Type.Params.List {
		a := argument{name: field.Names[0].Name}
		for _, group := range file.Comments {
			if group.Pos() > before && group.End() < field.Pos() {
				a.text = group
			}
		}
		before = field.End()
		if a.name != "ctx" {
			all = append(all, a)
		}
	}
	return all
}
