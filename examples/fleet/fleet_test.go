// Package fleet contains examples for many routers, and for a Docker host. Its tests check them with the validators
// of the programs that run them.
package fleet

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// run returns the output of a command on stdout and stderr.
func run(t *testing.T, dir string, env []string, argv ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// changed copies an example into a new directory after one replacement, and fails the test if there is nothing to
// replace.
func changed(t *testing.T, example, file, from, to string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	text := read(t, filepath.Join(dir, file))
	if !strings.Contains(text, from) {
		t.Fatalf("%s has no %q to replace", file, from)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.Replace(text, from, to, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ansible checks a playbook's syntax, and the arguments of the modules that the linter knows.
func ansible(t *testing.T, dir string) (string, error) {
	t.Helper()
	testmode.Long(t)
	testtools.Require(t, local.Tool{Command: "ansible-playbook", Package: "ansible"}, local.Tool{Command: "ansible-lint", Package: "ansible-lint"})
	env := []string{"ANSIBLE_LOCALHOST_WARNING=False", "NO_COLOR=1"}
	if out, err := run(t, dir, env, "ansible-playbook", "-i", "inventory.yml", "site.yml", "--syntax-check"); err != nil {
		return out, err
	}
	if out, err := run(t, dir, env, "ansible-lint", "--offline", "--nocolor", "--profile=production", "site.yml"); err != nil {
		return out, err
	}
	err := modules(t, filepath.Join(dir, "site.yml"))
	return fmt.Sprint(err), err
}

// modules compares the arguments of each task with the documentation of its module, which the linter does not do for modules
// that run on the control machine.
func modules(t *testing.T, playbook string) error {
	t.Helper()
	var plays []struct{ Tasks []map[string]any }
	if err := yaml.Unmarshal([]byte(read(t, playbook)), &plays); err != nil {
		return err
	}
	for _, task := range plays[0].Tasks {
		for name, given := range task {
			if !strings.Contains(name, ".") {
				continue
			}
			out, err := exec.CommandContext(t.Context(), "ansible-doc", "--json", name).Output()
			if err != nil {
				return fmt.Errorf("no documentation of %s: %w", name, err)
			}
			var documented map[string]struct {
				Doc struct{ Options map[string]any }
			}
			if err := json.Unmarshal(out, &documented); err != nil {
				return err
			}
			for argument := range given.(map[string]any) {
				if documented[name].Doc.Options[argument] == nil {
					return fmt.Errorf("%s has no argument %s", name, argument)
				}
			}
		}
	}
	return nil
}

func TestThePlaybookIsValid(t *testing.T) {
	if out, err := ansible(t, "ansible"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"an unknown module": {"community.routeros.facts", "community.routeros.fact", "community.routeros.fact"},
		"an unknown option": {"gather_subset", "gather_subsets", "gather_subsets"},
		"an unknown key":    {"register: status", "registers: status", "registers"},
	} {
		if out, err := ansible(t, changed(t, "ansible", "site.yml", c.from, c.to)); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: error %v does not say %q:\n%s", name, err, c.want, out)
		}
	}
}

// The Compose specification comes with its library.
const (
	composeModule  = "github.com/compose-spec/compose-go/v2"
	composeVersion = "v2.16.2"
)

// module returns the directory of a module in Go's cache.
func module(t *testing.T, path, version string) string {
	t.Helper()
	testmode.Machine(t)
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", path+"@"+version).Output()
	var found struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil || found.Error != "" {
		t.Fatalf("downloading %s: %v, %s", path, err, found.Error)
	}
	return found.Dir
}

// compose checks a file against the schema of the Compose specification.
func compose(t *testing.T, path string) error {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(read(t, filepath.Join(module(t, composeModule, composeVersion), "schema/compose-spec.json"))))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("compose.json", text); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("compose.json")
	if err != nil {
		t.Fatal(err)
	}
	var file any
	if err := yaml.Unmarshal([]byte(read(t, path)), &file); err != nil {
		return err
	}
	asJSON, err := json.Marshal(file)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func TestTheComposeFileIsValid(t *testing.T) {
	if err := compose(t, "compose/compose.yml"); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"an unknown key": {"cap_add:", "caps_add:", "caps_add"},
		"a wrong type":   {"read_only: true", "read_only: [yes]", "read_only"},
	} {
		path := filepath.Join(changed(t, "compose", "compose.yml", c.from, c.to), "compose.yml")
		if err := compose(t, path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v; want it to say %q", name, err, c.want)
		}
	}
}

// The file is about this image: its volume, and variables that the image knows.
func TestTheComposeFileFitsTheImage(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Volumes     []string
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "compose/compose.yml")), &file); err != nil {
		t.Fatal(err)
	}
	service := file.Services["tailscale"]
	image := recipe.Plan{Config: recipe.Default()}.ImageConfig()
	for volume := range image.Volumes {
		if !slices.ContainsFunc(service.Volumes, func(v string) bool { return strings.HasSuffix(v, ":"+volume) }) {
			t.Errorf("no volume is mounted at %s", volume)
		}
	}
	reference := read(t, "../../docs/reference.md")
	for name := range service.Environment {
		if !strings.Contains(reference, "`"+name+"`") {
			t.Errorf("the image has no variable %s", name)
		}
	}
}

// Both examples call the deploy command.
func TestDeployHasTheOptionsOfTheExamples(t *testing.T) {
	testmode.Machine(t)
	help, err := run(t, "../..", nil, "go", "run", "./cmd/mikrotik-tailscale", "deploy", "--help")
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	for _, file := range []string{"opentofu/main.tf", "ansible/site.yml"} {
		_, call, found := strings.Cut(read(t, file), "mikrotik-tailscale\n          - deploy")
		if !found {
			_, call, found = strings.Cut(read(t, file), "mikrotik-tailscale deploy ")
		}
		call, _, ends := strings.Cut(call, map[bool]string{true: "delegate_to", false: "environment"}[strings.HasSuffix(file, ".yml")])
		options := regexp.MustCompile(`--[a-z-]+`).FindAllString(call, -1)
		if !found || !ends || len(options) < 6 {
			t.Fatalf("%s calls deploy with %v", file, options)
		}
		for _, option := range options {
			if !strings.Contains(help, " "+option+" ") {
				t.Errorf("%s: deploy has no option %s", file, option)
			}
		}
	}
}
