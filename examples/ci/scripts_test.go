package ci

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
)

// The values that a user of the examples sets, and the tag of the run.
const (
	tag      = "1.102.5-mt.2"
	address  = "registry.example/me/tailscale"
	username = "me"
	password = "hunter2"
	// reference is the output of publish.
	reference = address + ":" + tag + "@sha256:0123456789abcdef"
)

// given are the variables and secrets that the examples use.
var given = map[string]string{"REGISTRY_ADDRESS": address, "REGISTRY_USERNAME": username, "REGISTRY_PASSWORD": password}

// job is what a CI runs for one event: the lines of a script and its variables.
type job struct {
	shell string
	lines []string
	env   map[string]string
}

// jobs returns the build job and the publish job of every example.
func jobs(t *testing.T) map[string]job {
	all := githubJobs(t)
	maps.Copy(all, gitlabJobs(t))
	maps.Copy(all, woodpeckerJobs(t))
	return all
}

func githubJobs(t *testing.T) map[string]job {
	type step struct {
		Run string
		Env map[string]string
	}
	var file struct {
		Jobs map[string]struct {
			Steps []step
			Env   map[string]string
		}
	}
	decode(t, "github.yml", &file)
	expression := regexp.MustCompile(`^\$\{\{ (?:vars|secrets)\.(\w+) \}\}$`)
	all := map[string]job{}
	for name, j := range file.Jobs {
		out := job{shell: "bash", env: map[string]string{"GITHUB_OUTPUT": "output"}}
		for _, step := range append(j.Steps, step{Env: j.Env}) {
			out.lines = append(out.lines, step.Run)
			for variable, text := range step.Env {
				if text == "${{ github.ref_name }}" {
					out.env[variable] = tag
				} else if text == "${{ steps.publish.outputs.reference }}" {
					out.env[variable] = reference
				} else if m := expression.FindStringSubmatch(text); m != nil && given[m[1]] != "" {
					out.env[variable] = given[m[1]]
				} else {
					t.Errorf("github.yml: unknown variable %s", text)
				}
			}
		}
		all["github.yml "+name] = out
	}
	return all
}

func gitlabJobs(t *testing.T) map[string]job {
	var file struct {
		Dagger struct {
			Before []string `yaml:"before_script"`
		} `yaml:".dagger"`
		Build, Publish, Sign struct{ Script []string }
		Variables            map[string]string
	}
	decode(t, "gitlab-ci.yml", &file)
	// GitLab sets these variables in every job.
	env := map[string]string{
		"DAGGER_VERSION": file.Variables["DAGGER_VERSION"], "DAGGER_SHA256": file.Variables["DAGGER_SHA256"],
		"CI_COMMIT_TAG": tag, "CI_REGISTRY_IMAGE": address, "CI_REGISTRY_USER": username, "CI_REGISTRY_PASSWORD": password,
		"CI_REGISTRY": strings.Split(address, "/")[0],
		// In GitLab, another job signs the published image.
		"REFERENCE": reference,
	}
	return map[string]job{
		"gitlab-ci.yml build":   {"sh", slices.Concat(file.Dagger.Before, file.Build.Script), env},
		"gitlab-ci.yml publish": {"sh", slices.Concat(file.Dagger.Before, file.Publish.Script), env},
		"gitlab-ci.yml sign":    {"sh", file.Sign.Script, env},
	}
}

func woodpeckerJobs(t *testing.T) map[string]job {
	w, err := readWoodpecker(read(t, "woodpecker.yml"))
	if err != nil {
		t.Fatal(err)
	}
	expanded := regexp.MustCompile(`(^|[^$])\$\{`)
	all := map[string]job{}
	for _, step := range w.Steps {
		if len(step.Commands) == 0 {
			continue
		}
		out := job{shell: "sh", env: map[string]string{"CI_COMMIT_TAG": tag}}
		for _, line := range step.Commands {
			if expanded.MatchString(line) {
				t.Errorf("woodpecker.yml: Woodpecker would expand this itself: %s", line)
			}
			out.lines = append(out.lines, strings.ReplaceAll(line, "$$", "$"))
		}
		for variable, v := range step.Environment {
			out.env[variable] = v.plain
			if v.secret != "" {
				out.env[variable] = given[strings.ToUpper(v.secret)]
			}
		}
		all["woodpecker.yml "+step.Name] = out
	}
	return all
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, path), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// standIns replace the programs on a CI's machine.
var standIns = map[string]string{
	"dagger": `printf '%s\n' "$@" >>dagger.calls; echo ` + reference, "docker": "exit 0", "wget": `while [ "$1" != -qO ]; do shift; done; echo >"$2"`,
	"sha256sum": "exit 0", "tar": "exit 0",
	"go":     `printf '%s\n' "$@" >>go.calls; echo "$PWD"`,
	"cosign": `printf '%s\n' "$@" >>cosign.calls; [ "$1" != login ] || sed s/^/stdin:/ >>cosign.calls`,
}

// execute runs a job with stand-ins and returns the arguments of their calls.
func execute(t *testing.T, j job, standIns map[string]string) (calls map[string][]string, problem error) {
	t.Helper()
	dir := t.TempDir()
	for program, text := range standIns {
		path := filepath.Join(dir, program)
		write(t, path, []byte("#!/bin/sh\n"+text+"\n"))
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	for variable, text := range j.env {
		env = append(env, variable+"="+text)
	}
	write(t, filepath.Join(dir, "script"), []byte(strings.Join(j.lines, "\n")+"\n"))
	testtools.Require(t, shellcheck)
	if out, err := run(t, dir, nil, "shellcheck", "--shell="+j.shell, "script"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := run(t, dir, env, j.shell, "-e", "script")
	if err != nil {
		problem = fmt.Errorf("%w\n%s", err, out)
	}
	calls = map[string][]string{}
	for program := range standIns {
		text, err := os.ReadFile(filepath.Join(dir, program+".calls"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		calls[program] = strings.Fields(string(text))
	}
	return calls, problem
}

// calls returns the arguments of each dagger call in a job that succeeds.
func calls(t *testing.T, j job) []string {
	t.Helper()
	given, err := execute(t, j, standIns)
	if err != nil {
		t.Fatal(err)
	}
	return given["dagger"]
}

// Jobs verify the checksum of their downloads.
func TestADownloadThatHasChangedIsNotRun(t *testing.T) {
	strict := maps.Clone(standIns)
	delete(strict, "sha256sum")
	downloading := 0
	for name, j := range jobs(t) {
		text := strings.Join(j.lines, "\n")
		if regexp.MustCompile(`\|[^|\n]*\b(ba|da)?sh\b`).MatchString(text) {
			t.Errorf("%s runs a download without verifying it:\n%s", name, text)
		}
		if !strings.Contains(text, "wget") && !strings.Contains(text, "curl") {
			continue
		}
		downloading++
		if given, err := execute(t, j, strict); err == nil || len(given["dagger"]) > 0 {
			t.Errorf("%s: a download with other content leads to dagger %q (%v)", name, given, err)
		}
	}
	if downloading != 4 {
		t.Errorf("%d jobs download something", downloading)
	}
}

func TestScriptsCallTheModule(t *testing.T) {
	all := jobs(t)
	for _, file := range slices.Sorted(maps.Keys(linters)) {
		t.Run(file, func(t *testing.T) {
			want := strings.Fields("call tarballs export --path dist")
			if got := calls(t, all[file+" build"]); !slices.Equal(got, want) {
				t.Errorf("a push calls dagger with %q, want %q", got, want)
			}
			publish := all[file+" publish"]
			secret := ""
			for variable, text := range publish.env {
				if text == password {
					secret = variable
				}
			}
			want = strings.Fields("call --tailscale-version 1.102.5 --revision 2 publish --address " + address +
				" --tags stable --username " + username + " --password env://" + secret)
			if got := calls(t, publish); !slices.Equal(got, want) {
				t.Errorf("a tag calls dagger with %q, want %q", got, want)
			}
		})
	}
}

// cosign signs with the CI's identity for the job, without a key.
func TestTheIdentityOfTheCISignsWhatWasPublished(t *testing.T) {
	all := jobs(t)
	pinned := regexp.MustCompile(`cosignProgram = "(.+)"`).FindSubmatch(read(t, root+"/image/publish/sign_test.go"))
	if pinned == nil {
		t.Fatal("the tests of signatures name no cosign")
	}
	for _, name := range []string{"github.yml publish", "gitlab-ci.yml sign"} {
		t.Run(name, func(t *testing.T) {
			calls, err := execute(t, all[name], standIns)
			if err != nil {
				t.Fatal(err)
			}
			registry, _, _ := strings.Cut(address, "/")
			want := strings.Fields("login " + registry + " --username " + username + " --password-stdin stdin:" + password +
				" sign --yes --recursive " + reference)
			if got := calls["cosign"]; !slices.Equal(got, want) {
				t.Errorf("cosign is called with %q; want %q", got, want)
			}
			if got := calls["go"]; len(got) < 2 || got[0] != "install" || got[1] != string(pinned[1]) {
				t.Errorf("go is called with %q; want the version that the tests use, %s", got, pinned[1])
			}
		})
	}
}

// The functions and options of cosign in the scripts exist.
func TestCosignHasWhatTheScriptsCall(t *testing.T) {
	testmode.Long(t)
	all := jobs(t)
	calls, err := execute(t, all["gitlab-ci.yml sign"], standIns)
	if err != nil {
		t.Fatal(err)
	}
	program, command := testtools.Program(t, calls["go"][1]), ""
	for _, word := range calls["cosign"] {
		switch {
		case word == "login" || word == "sign":
			command = word
		case strings.HasPrefix(word, "--"):
			if out, err := run(t, "", nil, program, command, "--help"); err != nil || !strings.Contains(out, word+"=") {
				t.Errorf("cosign %s has no option %s (%v)", command, word, err)
			}
		}
	}
}

// The functions in the scripts exist in the module, and their options are options of the function or of the module's
// constructor.
func TestTheModuleHasTheFunctionsAndOptionsOfTheScripts(t *testing.T) {
	has := options(t)
	for name, j := range jobs(t) {
		function, exported := "new", false
		for _, word := range calls(t, j) {
			switch {
			case word == "call":
			case exported: // export is the engine's own function
			case word == "export":
				exported = true
			case strings.HasPrefix(word, "--"):
				if !slices.Contains(has[function], word[2:]) {
					t.Errorf("%s: %s has no option %s; it has %q", name, function, word, has[function])
				}
			case has[word] != nil:
				function = word
			}
		}
		if function == "new" && !strings.HasSuffix(name, " sign") {
			t.Errorf("%s calls no function of the module", name)
		}
	}
}

// options returns the arguments of the module's functions, by their names on the command line.
func options(t *testing.T) map[string][]string {
	t.Helper()
	sources, err := filepath.Glob(root + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || strings.HasSuffix(source, "_test.go") {
				continue
			}
			names := []string{}
			for _, p := range f.Type.Params.List {
				for _, n := range p.Names {
					names = append(names, kebab(n.Name))
				}
			}
			all[kebab(f.Name.Name)] = names
		}
	}
	if len(all) == 0 {
		t.Fatal(fmt.Errorf("no function in %q", sources))
	}
	return all
}

func kebab(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('-')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
