package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/routeros"
)

// The engine reads the enums from constants, so they repeat values of other packages. This test compares both.
func TestTheEnumsMatchThePackages(t *testing.T) {
	want := map[string][]string{"AppletSet": applets.Sets(), "Registry": routeros.Registries(), "Root": routeros.Roots(),
		"Script": {"scripts", routeros.AppKinds[0]}}
	for _, c := range recipe.Compressions() {
		want["Compression"] = append(want["Compression"], string(c))
	}
	for _, c := range recipe.CertificatePlaces() {
		want["Certificates"] = append(want["Certificates"], string(c))
	}
	got := map[string][]string{}
	file, err := parser.ParseFile(token.NewFileSet(), "choices.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for node := range ast.Preorder(file) {
		constant, ok := node.(*ast.ValueSpec)
		if !ok {
			continue
		}
		value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		name := constant.Type.(*ast.Ident).Name
		got[name] = append(got[name], value)
	}
	for name, choices := range want {
		if !slices.Equal(slices.Sorted(slices.Values(choices)), slices.Sorted(slices.Values(got[name]))) {
			t.Errorf("%s has %q; want %q", name, got[name], choices)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("no package has the values of %v", got)
	}
}
