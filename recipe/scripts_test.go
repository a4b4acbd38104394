package recipe

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/daemon/supervisor"
)

var scripts = map[string]string{entrypointPath: entrypointScript, healthcheckPath: healthcheckScript}

// The shell builtins of every image, as configured in base.config and the catalogue.
var builtins = []string{"[", ":", "break", "continue", "echo", "eval", "exec", "exit", "export", "kill", "local", "printf", "read", "return", "set", "shift", "trap", "true", "unset", "wait"}

// The image's own programs.
var programs = []string{"healthcheck", "tailscale", "tailscaled"}

func parse(t *testing.T, text string) *syntax.File {
	t.Helper()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "script")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryCommandOfTheScriptsIsInTheList(t *testing.T) {
	used := map[string]bool{"ash": true, "sh": true} // these run the scripts
	for _, text := range scripts {
		functions := map[string]bool{}
		var called []string
		syntax.Walk(parse(t, text), func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.FuncDecl:
				functions[n.Name.Value] = true
			case *syntax.CallExpr:
				if len(n.Args) > 0 {
					called = append(called, n.Args[0].Lit()) // empty for "$0" and "$@"
				}
			}
			return true
		})
		for _, c := range called {
			if c != "" && !functions[c] && !slices.Contains(builtins, c) && !slices.Contains(programs, c) {
				used[c] = true
			}
		}
	}
	for c := range used {
		if !slices.Contains(scriptApplets, c) {
			t.Errorf("the scripts use %s, which is not in their list of applets", c)
		}
	}
	for _, a := range scriptApplets {
		if !used[a] {
			t.Errorf("the scripts do not use %s, which is in their list of applets", a)
		}
	}
}

func TestEveryCuratedSetHasWhatTheScriptsNeed(t *testing.T) {
	for _, set := range applets.Sets() {
		list, err := applets.Named(set)
		if err != nil {
			t.Fatal(err)
		}
		config(t, func(c *Config) { c.Applets = list })
	}
}

func TestAListWithoutWhatTheScriptsNeedIsRefused(t *testing.T) {
	list, err := applets.Parse("mine", strings.NewReader("ash\nip\nsh\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Applets = list
	if err := c.Complete(); err == nil || !strings.Contains(err.Error(), "the applets lack nc, sleep: ") {
		t.Errorf("error = %v", err)
	}
}

// The image's scripts do the same as the commented ones.
func TestScriptsLoseOnlyTheirComments(t *testing.T) {
	for path, text := range scripts {
		short := script(text)
		if read, put := minified(t, text), minified(t, short); read != put {
			t.Errorf("%s is read as\n%s\nand goes into the image as\n%s", path, read, put)
		}
		if len(short) > 800 || !strings.HasPrefix(short, "#!/bin/sh\n") || strings.Count(short, "#!") != 1 {
			t.Errorf("%s has %d bytes and begins with %.20q", path, len(short), short)
		}
		check := exec.CommandContext(t.Context(), "sh", "-n")
		check.Stdin = strings.NewReader(short)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

// The entrypoint passes keys, and values that could crash Go's runtime, through a pipe, not through the environment.
func TestTheEntrypointKeepsKeysOutOfTheEnvironment(t *testing.T) {
	_, rest, _ := strings.Cut(entrypointScript, "for name in ")
	list, _, _ := strings.Cut(rest, ";")
	var want []string
	for _, v := range supervisor.Variables {
		if v.Kind == supervisor.Secret || v.Kind == supervisor.Memory || v.Name == "TS_EXTRA_ARGS" {
			want = append(want, v.Name)
		}
	}
	got := strings.Fields(list)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the entrypoint hands over %v; want %v", got, want)
	}
}

func minified(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := syntax.NewPrinter(syntax.Minify(true)).Print(&b, parse(t, text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
