// Package ci contains examples of CI pipelines. Its tests check them and the repository's renovate.json.
package ci

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
)

const actionlint = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"

// linters are the linters by file.
var linters = map[string]func(t *testing.T, path string) (string, error){
	"github.yml": func(t *testing.T, path string) (string, error) {
		testtools.Require(t, shellcheck)
		return run(t, "", nil, "go", "run", actionlint, path)
	},
	"gitlab-ci.yml": func(t *testing.T, path string) (string, error) {
		return gitlab(t, path, "--list")
	},
	"woodpecker.yml": func(t *testing.T, path string) (string, error) {
		_, err := readWoodpecker(read(t, path))
		return fmt.Sprint(err), err
	},
}

var shellcheck = local.Tool{Command: "shellcheck", Package: "shellcheck"}

func TestExamplesAreValid(t *testing.T) {
	for name, lint := range linters {
		t.Run(name, func(t *testing.T) {
			path, err := filepath.Abs(name)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := lint(t, path); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestLintersSeeMistakes(t *testing.T) {
	for name, c := range map[string]struct{ file, from, to, want string }{
		"GitHub, unknown key":         {"github.yml", "runs-on:", "run-on:", "run-on"},
		"GitHub, unknown context":     {"github.yml", "vars.REGISTRY", "variables.REGISTRY", "variables"},
		"GitHub, unknown permission":  {"github.yml", "contents: read", "content: read", "content"},
		"GitHub, unknown identity":    {"github.yml", "id-token: write", "id-token: sign", "id-token"},
		"GitHub, unknown step":        {"github.yml", "steps.publish.outputs", "steps.published.outputs", "published"},
		"GitLab, unknown identity":    {"gitlab-ci.yml", "      aud: sigstore", "      audience: sigstore", "id_tokens"},
		"GitHub, unquoted variable":   {"github.yml", `"$REGISTRY_ADDRESS"`, "$REGISTRY_ADDRESS", "SC2086"},
		"GitLab, unknown key":         {"gitlab-ci.yml", "    expire_in:", "    expires_in:", "expires_in"},
		"GitLab, no script":           {"gitlab-ci.yml", "  script:", "  scripts:", "script"},
		"GitLab, unknown template":    {"gitlab-ci.yml", "extends: .dagger", "extends: .digger", ".digger"},
		"Woodpecker, unknown key":     {"woodpecker.yml", "    commands:", "    command:", "command"},
		"Woodpecker, unknown event":   {"woodpecker.yml", "event: tag", "event: tags", "tags"},
		"Woodpecker, no image":        {"woodpecker.yml", "    image: docker", "    image: \"\" #", "no image"},
		"Woodpecker, no event":        {"woodpecker.yml", "      - event: tag", "      - branch: main", "event"},
		"Woodpecker, wrong secret":    {"woodpecker.yml", "from_secret: registry_password", "secret: registry_password", "secret"},
		"Woodpecker, not YAML at all": {"woodpecker.yml", "steps:", "steps", "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			write(t, path, changed(t, read(t, c.file), c.from, c.to))
			out, err := linters[c.file](t, path)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("error %v does not contain %q:\n%s", err, c.want, out)
			}
		})
	}
}

// gitlab runs gitlab-ci-local on a file, in an otherwise empty repository.
func gitlab(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".gitlab-ci.yml"), read(t, path))
	return run(t, dir, nil, append(node(t, "gitlab-ci-local"), args...)...)
}

func TestGitLabRunsTheJobsOfTheEvent(t *testing.T) {
	for name, c := range map[string]struct{ ref, want string }{
		"change":      {"", "build"},
		"release tag": {"1.102.5-mt.2", "publish sign"},
		"other tag":   {"nightly", ""},
		"likely tag":  {"1.102.5-mt.2-test", ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"--list-csv"}
			if c.ref != "" {
				args = append(args, "--variable", "CI_COMMIT_TAG="+c.ref, "--unset-variable", "CI_COMMIT_BRANCH")
			}
			out, err := gitlab(t, "gitlab-ci.yml", args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var jobs []string
			for _, match := range regexp.MustCompile(`(?m)^(\w+);(?:test|deploy);on_success;`).FindAllStringSubmatch(out, -1) {
				jobs = append(jobs, match[1])
			}
			if got := strings.Join(jobs, " "); got != c.want {
				t.Errorf("runs %q, want %q:\n%s", got, c.want, out)
			}
		})
	}
}
