package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

//go:embed files/switch.go.txt
var switchSource string

// copied is the copy of a package's directory.
const copied = "package"

// program is a package's tests, compiled with all mutants of the package.
type program struct {
	path    string // of the compiled tests
	dir     string // of the package
	cache   string // Go's build cache
	mutants []mutant
	// uncompiled is the number of mutants that don't compile.
	uncompiled int
}

// listed is a package in the output of go list.
type listed struct {
	ImportPath, Name, Dir, Export string
	GoFiles, CgoFiles             []string
	DepOnly                       bool
}

// list returns a package, and the files with the exported symbols of all packages that it depends on.
func list(pattern string) (own listed, exports map[string]string, err error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Name,Dir,Export,GoFiles,CgoFiles,DepOnly", "--", pattern)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return own, nil, fmt.Errorf("listing %s: %w", pattern, err)
	}
	exports = map[string]string{}
	found := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return own, nil, fmt.Errorf("listing %s: %w", pattern, err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			own, found = p, found+1
		}
	}
	switch {
	case found != 1:
		return own, nil, fmt.Errorf("%q names %d packages: want one", pattern, found)
	case len(own.CgoFiles) > 0:
		return own, nil, fmt.Errorf("%s uses cgo", pattern)
	}
	return own, exports, nil
}

// compile compiles a package's tests into a directory. It leaves out mutants that don't compile.
func compile(pattern, dir string) (*program, error) {
	own, exports, err := list(pattern)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	var sources [][]byte
	for _, name := range own.GoFiles {
		source, err := os.ReadFile(filepath.Join(own.Dir, name))
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files, sources = append(files, file), append(sources, source)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	pkg, err := config.Check(own.ImportPath, fset, files, info)
	if err != nil {
		return nil, err
	}

	// The tests run in a copy of the directory, because some create files in it.
	if err := os.CopyFS(filepath.Join(dir, copied), os.DirFS(own.Dir)); err != nil {
		return nil, fmt.Errorf("copying %s: %w", own.Dir, err)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("finding Go's build cache: %w", err)
	}
	p := &program{path: filepath.Join(dir, "tests"), dir: own.Dir, cache: strings.TrimSpace(string(cache))}
	left := map[int]bool{}
	for {
		m := mutator{fset: fset, info: info, pkg: pkg, left: left, constants: map[types.Object]int{}, series: series(files, info)}
		overlay := map[string]string{}
		write := func(name string, content []byte) error {
			path := filepath.Join(dir, name)
			overlay[filepath.Join(own.Dir, name)] = path
			return os.WriteFile(path, content, 0o600)
		}
		for i, name := range own.GoFiles {
			if err := write(name, m.mutate(name, files[i], sources[i])); err != nil {
				return nil, err
			}
		}
		if err := write("mutation_switch.go", []byte(strings.NewReplacer("NAME", own.Name, "COUNT", strconv.Itoa(m.next)).Replace(switchSource))); err != nil {
			return nil, err
		}
		text, err := json.Marshal(map[string]any{"Replace": overlay})
		if err != nil {
			return nil, err
		}
		overlayFile := filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(overlayFile, text, 0o600); err != nil {
			return nil, err
		}
		out, err := exec.Command("go", "test", "-c", "-overlay", overlayFile, "-gcflags=-e", "-o", p.path, pattern).CombinedOutput()
		if err == nil {
			p.mutants, p.uncompiled = m.mutants, len(left)
			return p, nil
		}
		if before := len(left); !leaveOut(left, m.mutants, string(out)) {
			return nil, fmt.Errorf("compiling %s with its mutants (%d left out): %w\n%s", pattern, before, err, out)
		}
	}
}

// compileError matches the file and line in an error of the compiler.
var compileError = regexp.MustCompile(`(?m)^(?:.*/)?([^/\s:]+\.go):([0-9]+):`)

// leaveOut leaves out the mutants on the lines that don't compile. It reports whether there are any.
func leaveOut(left map[int]bool, mutants []mutant, output string) bool {
	found := false
	for _, e := range compileError.FindAllStringSubmatch(output, -1) {
		line, _ := strconv.Atoi(e[2])
		on := func(begins bool) (any bool) {
			for _, m := range mutants {
				if m.file == e[1] && !left[m.id] && (begins && m.begin == line || !begins && m.begin <= line && line <= m.end) {
					left[m.id], any = true, true
				}
			}
			return any
		}
		found = on(true) || on(false) || found
	}
	return found
}

// series returns the constants that are declared with iota or without a value.
func series(files []*ast.File, info *types.Info) map[types.Object]bool {
	all := map[types.Object]bool{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			d, ok := n.(*ast.GenDecl)
			if !ok || d.Tok != token.CONST {
				return true
			}
			counted := false
			for _, s := range d.Specs {
				v := s.(*ast.ValueSpec)
				for _, e := range v.Values {
					ast.Inspect(e, func(n ast.Node) bool {
						i, ok := n.(*ast.Ident)
						counted = counted || ok && i.Name == "iota"
						return true
					})
				}
				if counted || len(v.Values) == 0 {
					for _, name := range v.Names {
						all[info.Defs[name]] = true
					}
				}
			}
			return true
		})
	}
	return all
}
