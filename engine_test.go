package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// The tests of this file run the module like a user, with the dagger command on a live engine. Without an engine they
// are skipped, and say so.

func needEngine(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("dagger"); err != nil {
		t.Skip("not run: no dagger command on this machine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "dagger", "core", "version").CombinedOutput(); err != nil {
		t.Skipf("not run: the dagger command finds no live engine: %v\n%s", err, lastLines(string(out), 3))
	}
}

// daggerCall runs the dagger command in the module's directory. Its error contains the output.
func daggerCall(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dagger", append([]string{"call", "--progress=plain"}, args...)...)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		return log.String(), err
	}
	return string(out), nil
}

func mustCall(t *testing.T, args ...string) string {
	t.Helper()
	out, err := daggerCall(t, args...)
	if err != nil {
		t.Fatalf("dagger call %s: %v\n%s", strings.Join(args, " "), err, lastLines(out, 40))
	}
	return out
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

var (
	colour    = regexp.MustCompile("\x1b\\[[0-9;]*m")
	stepBegun = regexp.MustCompile(`^(\d+) +: .* withExec (.*)`)
	stepEnded = regexp.MustCompile(`^(\d+) +: .*Container\.withExec DONE`)
)

// stepsRun returns the steps of a call that the engine has run, not taken from its cache.
func stepsRun(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dagger", append([]string{"call", "--progress=plain"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("dagger call %s: %v\n%s", strings.Join(args, " "), err, lastLines(string(out), 40))
	}
	begun := map[string]string{}
	var run []string
	for line := range strings.Lines(colour.ReplaceAllString(string(out), "")) {
		if m := stepBegun.FindStringSubmatch(line); m != nil {
			begun[m[1]] = m[2]
		} else if m := stepEnded.FindStringSubmatch(line); m != nil {
			run = append(run, begun[m[1]])
		}
	}
	return strings.Join(run, "\n")
}

func TestAChangeOnlyRunsAffectedStages(t *testing.T) {
	needEngine(t)
	word := strings.ToLower(rand.Text())
	mustCall(t, "tailscale", "--arch", "arm", "size")
	run := stepsRun(t, "--labels", "try="+word, "--applet-set", "minimal", "rootfs", "--arch", "arm", "entries")
	if strings.Contains(run, "go -C") {
		t.Errorf("other applets compile Tailscale again:\n%s", run)
	}
	first := stepsRun(t, "--cache-key", word, "busybox", "--arch", "arm", "size")
	second := stepsRun(t, "--cache-key", word, "busybox", "--arch", "armv5", "size")
	if !strings.Contains(first, "download-file") || !strings.Contains(first, "make -s") {
		t.Errorf("with a new cache key, the build used the cache. It ran:\n%s", first)
	}
	if strings.Contains(second, "download-file") || !strings.Contains(second, "make -s") {
		t.Errorf("for another platform the build ran:\n%s", second)
	}
}

// The engine and the command run the same stages in different environments.
func TestTheEngineAndTheCommandProduceTheSameBytes(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	mustCall(t, "tarballs", "export", "--path", filepath.Join(dir, "engine"))
	free := exec.CommandContext(t.Context(), "go", "run", "./cmd/mikrotik-tailscale", "build", "--arch", "all", "--install-tools", "--output", filepath.Join(dir, "free"))
	if out, err := free.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := contents(t, filepath.Join(dir, "free", "SHA256SUMS"))
	if got := contents(t, filepath.Join(dir, "engine", "SHA256SUMS")); got != want {
		t.Errorf("the engine's sums:\n%s\nthe command's:\n%s", got, want)
	}
	for _, directory := range []string{"engine", "free"} {
		check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
		check.Dir = filepath.Join(dir, directory)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestBuildReturnsAContainerForThePlatform(t *testing.T) {
	needEngine(t)
	if got := strings.TrimSpace(mustCall(t, "build", "--arch", "linux/arm/v7", "platform")); got != "linux/arm/v7" {
		t.Errorf("platform = %q", got)
	}
	if got := mustCall(t, "build", "--arch", "amd64", "with-exec", "--args", "tailscale,version", "stdout"); !strings.HasPrefix(got, recipe.TailscaleVersion+"\n") {
		t.Errorf("tailscale version prints %q", got)
	}
	if got := mustCall(t, "build", "--arch", "amd64", "entrypoint"); !strings.Contains(got, "/usr/local/bin/entrypoint") {
		t.Errorf("entrypoint = %q", got)
	}
}

func TestStagesAreFunctions(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	raw, packed := filepath.Join(dir, "busybox"), filepath.Join(dir, "packed")
	mustCall(t, "busybox", "--arch", "armv5", "export", "--path", raw)
	mustCall(t, "compress", "--arch", "armv5", "--binary", raw, "export", "--path", packed)
	if a, b := len(contents(t, raw)), len(contents(t, packed)); b == 0 || b >= a {
		t.Errorf("%d bytes were packed into %d", a, b)
	}
	minimal, err := applets.Named("minimal")
	if err != nil {
		t.Fatal(err)
	}
	mine := append(minimal.Names(), "traceroute")
	slices.Sort(mine)
	list := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(list, []byte(strings.Join(mine, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := mustCall(t, "--applets", list, "list-applets"); got != strings.Join(mine, "\n")+"\n" {
		t.Errorf("applets = %q", got)
	}
	if got := mustCall(t, "list-features"); !strings.Contains(got, "* dns") || !strings.Contains(got, "  ssh") {
		t.Errorf("features:\n%s", got)
	}
	if got := mustCall(t, "rootfs", "--arch", "amd64", "entries", "--path", "usr/local/bin"); got != "entrypoint\nhealthcheck\ntailscale\ntailscaled\n" {
		t.Errorf("entries = %q", got)
	}
}

func TestSizesAndSbomAreFunctions(t *testing.T) {
	needEngine(t)
	if got := mustCall(t, "sizes", "--platforms", "arm", "table"); !strings.Contains(got, "base files") {
		t.Errorf("table:\n%s", got)
	}
	if got := mustCall(t, "sizes", "--platforms", "arm", "json"); !strings.Contains(got, `"component`) {
		t.Errorf("JSON:\n%s", got)
	}
	if got := mustCall(t, "sbom", "--arch", "arm", "contents"); !strings.Contains(got, `"bomFormat": "CycloneDX"`) {
		t.Errorf("SBOM:\n%s", got)
	}
}

// The example's own list of applets contains everything that the image's scripts need.
func TestTheExamplesAppletsStartTheImage(t *testing.T) {
	source := contents(t, "examples/go/main.go")
	_, list, _ := strings.Cut(source, "var commands = []string{")
	list, _, ok := strings.Cut(list, "\n}")
	if !ok {
		t.Fatal("the example has no list of commands")
	}
	c := recipe.Default()
	var err error
	names := regexp.MustCompile(`"[^"]*"`).FindAllString(list, -1)
	if c.Applets, err = applets.Parse("examples/go", strings.NewReader(strings.ReplaceAll(strings.Join(names, "\n"), `"`, ""))); err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(); err != nil {
		t.Error(err)
	}
}

// examples/go is a module that depends on this one and publishes to its own registry.
func TestTheExampleModule(t *testing.T) {
	needEngine(t)
	got := mustCall(t, "-m", "examples/go", "publish")
	if !strings.HasPrefix(got, "registry.home.example/tailscale:"+recipe.Default().ImageVersion()+"@sha256:") {
		t.Errorf("reference = %q", got)
	}
}

// The checks of tests/ use the module from outside.
func TestChecks(t *testing.T) {
	needEngine(t)
	for _, args := range [][]string{{"check"}, {"check", "-m", "tests"}} {
		out, err := exec.CommandContext(t.Context(), "dagger", append(args, "--progress=plain")...).CombinedOutput()
		if err != nil {
			t.Errorf("dagger %s: %v\n%s", strings.Join(args, " "), err, lastLines(string(out), 60))
		}
	}
}

func TestTheEngineExplainsWrongCalls(t *testing.T) {
	needEngine(t)
	list := filepath.Join(t.TempDir(), "mine.txt")
	if err := os.WriteFile(list, []byte("ash\nsh\nfrobnicate\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"platform":    {[]string{"tarball", "--arch", "mips"}, `unknown platform "mips": choose one of amd64`},
		"version":     {[]string{"--tailscale-version", "latest", "list-applets"}, `malformed Tailscale version "latest"`},
		"applet":      {[]string{"--applets", list, "list-applets"}, `mine.txt:3: unknown applet "frobnicate"`},
		"applet set":  {[]string{"--applet-set", "huge", "list-applets"}, "value should be one of DEFAULT,MINIMAL"},
		"compression": {[]string{"--compression", "zip", "list-applets"}, "value should be one of LAUNCHER,NONE,UPX"},
		"feature":     {[]string{"--features=+warpdrive", "tarball", "--arch", "arm"}, "Tailscale " + recipe.TailscaleVersion + ` has no feature "warpdrive"`},
		"binary":      {[]string{"compress", "--arch", "arm", "--binary", list}, "mine.txt: cannot be read as the ELF binary that arm needs"},
		"epoch":       {[]string{"--source-date-epoch", "now", "list-applets"}, `"now"`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := daggerCall(t, c.args...)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("error %v does not contain %q:\n%s", err, c.want, lastLines(out, 20))
			}
		})
	}
}

var updateHelp = flag.Bool("update-help", false, "rewrite the files in testdata/help")

// testdata/help has the help texts, so that a lost default or a mistyped pragma is noticed.
func TestHelpIsAsItWas(t *testing.T) {
	needEngine(t)
	list := help(t, "functions")
	golden(t, "functions", list)
	golden(t, "call", help(t, "call", "--help"))
	for line := range strings.Lines(list) {
		if name, _, _ := strings.Cut(line, " "); name != "Name" && strings.TrimSpace(name) != "" {
			golden(t, name, help(t, "call", name, "--help"))
		}
	}
}

// help returns the help of the dagger command for the module, without the engine's own options and the functions of
// its own types.
func help(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dagger", append([]string{"--silent"}, args...)...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dagger %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	ours := args[0] == "functions" || args[1] == "--help" || args[1] == "sizes"
	var b strings.Builder
	skip := false
	for line := range strings.Lines(colour.ReplaceAllString(string(out), "")) {
		switch {
		case line == "OPTIONS\n", strings.HasPrefix(line, "Skipped "), strings.HasPrefix(line, "Use \"dagger"):
			return strings.TrimSpace(b.String()) + "\n"
		case line == "FUNCTIONS\n":
			skip = !ours
		case line == "ARGUMENTS\n":
			skip = false
		}
		if !skip {
			b.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	return strings.TrimSpace(b.String()) + "\n"
}

// golden compares a help text with the stored one.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata/help", name+".txt")
	if *updateHelp {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: to write it, run go test -run TestHelpIsAsItWas -update-help .", err)
	}
	if got != string(want) {
		t.Errorf("the help of %s has changed; to keep the new one, run go test -run TestHelpIsAsItWas -update-help .\n%s", name, got)
	}
}

func TestPublishedImagesCanBeReadBack(t *testing.T) {
	needEngine(t)
	testtools.Require(t, local.Tool{Command: "skopeo", Package: "skopeo"})
	const password = "s3cret&word"
	t.Setenv("REGISTRY_PASSWORD", password)
	t.Setenv("WRONG_PASSWORD", "gu3ssed")
	registry := testregistry.Start(t, "robot", password, false)
	publish := func(args ...string) []string {
		return append([]string{"publish", "--address", "routers.example/home/tailscale", "--registry", "tcp://" + registry, "--tags", "stable", "--username", "robot"}, args...)
	}
	if out, err := daggerCall(t, publish("--password", "env://WRONG_PASSWORD")...); err == nil ||
		!strings.Contains(out, "the registry refused the user name or password") || strings.Contains(out, "gu3ssed") {
		t.Errorf("with a wrong password (%v):\n%s", err, lastLines(out, 5))
	}
	if out, err := daggerCall(t, publish()...); err == nil || !strings.Contains(out, `the user "robot" has no password`) {
		t.Errorf("with no password (%v):\n%s", err, lastLines(out, 5))
	}
	dry := mustCall(t, publish("--password", "env://REGISTRY_PASSWORD", "--dry-run")...)
	first := mustCall(t, publish("--password", "env://REGISTRY_PASSWORD")...)
	second := mustCall(t, publish("--password", "env://REGISTRY_PASSWORD")...)
	if dry != first || first != second || !strings.HasPrefix(first, "routers.example/home/tailscale:"+recipe.Default().ImageVersion()+"@sha256:") {
		t.Errorf("tried: %s\nfirst: %s\nsecond: %s", dry, first, second)
	}
	_, digest, _ := strings.Cut(strings.TrimSpace(first), "@")
	inspect := exec.CommandContext(t.Context(), "skopeo", "inspect", "--tls-verify=false", "--creds=robot:"+password,
		"--override-arch=arm", "--override-variant=v5", "docker://"+registry+"/home/tailscale:stable")
	out, err := inspect.Output()
	if err != nil || !strings.Contains(string(out), digest) || !strings.Contains(string(out), "stable-armv5") {
		t.Errorf("skopeo prints (%v):\n%s", err, out)
	}
}

// The module and the command have the same options under the same names.
func TestTheCommandHasTheModulesOptions(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), "go", "run", "./cmd/mikrotik-tailscale", "build", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	otherwise := map[string]string{
		"ctx":             "not an option",
		"sourceDateEpoch": "is the environment's SOURCE_DATE_EPOCH there",
		"goImage":         "there are no images there",
		"debianImage":     "there are no images there",
		"cacheKey":        "is --no-cache there",
	}
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "New" {
			continue
		}
		for _, p := range f.Type.Params.List {
			name := p.Names[0].Name
			seen++
			if otherwise[name] == "" && !strings.Contains(string(help), "--"+kebab(name)+" ") {
				t.Errorf("the command has no --%s", kebab(name))
			}
		}
	}
	if seen < 10 {
		t.Errorf("found %d arguments of the constructor", seen)
	}
}

func kebab(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// The engine generates two files with these names in its own copy. They have thousands of lines.
func TestTheStandInsAreNotTheGeneratedFiles(t *testing.T) {
	for _, file := range []string{"dagger.gen.go", "internal/dagger/dagger.gen.go"} {
		text := contents(t, file)
		if n := strings.Count(text, "\n"); n > 100 || strings.Contains(text, "DO NOT EDIT") {
			t.Errorf("%s has %d lines: it is the engine's generated file, not the stand-in", file, n)
		}
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
