// Package page builds the page that writes scripts for routers in a browser: a single file that needs no server.
package page

import (
	"embed"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/recipe/address"
	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/page/choices"
)

//go:embed choices/choices.go choices/link.go program/main.go
//go:embed html/main.go html/fields.go html/boards.go html/boards.txt html/page.html html/form.html html/page.css html/page.js
var source embed.FS

// modules are the modules that the page's programs import. A test compares their versions with go.mod.
var modules = []recipe.Module{
	{Path: "github.com/google/go-containerregistry", Version: "v0.22.1"},
	{Path: "github.com/opencontainers/go-digest", Version: "v1.0.0"},
	{Path: "go.yaml.in/yaml/v3", Version: "v3.0.5"},
}

// Name is the file name of the page.
const Name = "page.html"

// Stage returns the stage that builds the page, with the given initial choices.
//
// Inlining is off (-l), as in the images, because it makes the page an eighth larger.
func Stage(initial choices.Choices) (recipe.Stage, error) {
	if err := choices.Check(initial); err != nil {
		return recipe.Stage{}, err
	}
	return recipe.ModuleStage("page", slices.Concat(
		recipe.Sources(routeros.Source, "routeros"), recipe.Sources(source, "routeros/page"),
		recipe.Sources(platform.Source, "platform"), recipe.Sources(address.Source, "recipe/address"),
	), modules, [][]string{
		{"env", "GOOS=js", "GOARCH=wasm", "go", "-C", recipe.ModuleDir, "build", "-mod=mod", "-buildvcs=false",
			"-gcflags=all=-l", "-ldflags=-s -w", "-o", recipe.BuildDir + "/page.wasm", "./routeros/page/program"},
		{"sh", "-euc", strings.Join([]string{
			`support=$(go env GOROOT)/lib/wasm/wasm_exec.js`,
			`exec go -C "$1" run -mod=mod ./routeros/page/html "$2" "$support" "$3" "$4"`,
		}, "\n"), "sh", recipe.ModuleDir, recipe.BuildDir + "/page.wasm", initial.Encode(), recipe.OutDir + "/" + Name},
	}, Name), nil
}
