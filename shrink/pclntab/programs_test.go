package pclntab_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// toolchains has a Go release of each supported version.
var toolchains = []string{"go" + recipe.GoVersion, "go" + recipe.TailscaleGo}

// unknownToolchain is a Go release with an unsupported version.
const unknownToolchain = "go1.25.5"

// asTailscale are the recipe's compiler flags.
var asTailscale = testtools.Stripped

// eachWay runs do for each platform and toolchain, with a program compiled like Tailscale and with one that has
// inlined calls. By default, of the programs for other processors it takes one like Tailscale for arm64, built with the
// first toolchain: the tests of the images start programs of all platforms, built with the other one.
func eachWay(t *testing.T, do func(t *testing.T, toolchain string, target platform.Target, flags []string)) {
	for i, toolchain := range toolchains {
		for _, target := range platform.All() {
			for how, flags := range map[string][]string{"as Tailscale": asTailscale, "inlined": nil} {
				other, inlined := i > 0, flags == nil
				unusual := 0 // differences from a program like Tailscale, built with the first toolchain for this machine
				for _, is := range []bool{other, inlined, emulated(target)} {
					if is {
						unusual++
					}
				}
				seldom := unusual > 1 || emulated(target) && target.Name != "arm64"
				if testing.Short() && (emulated(target) || other) || seldom && !testmode.IsLong() || unusual > 2 {
					continue
				}
				t.Run(toolchain+"/"+target.Name+"/"+how, func(t *testing.T) { do(t, toolchain, target, flags) })
			}
		}
	}
}

func emulated(target platform.Target) bool { return target.Architecture != runtime.GOARCH }

// emulators run programs for other processors.
var emulators = map[string][]string{
	"amd64": {"qemu-x86_64-static"},
	"arm64": {"qemu-aarch64-static"},
	"arm":   {"qemu-arm-static", "-cpu", "cortex-a7"},
	"armv5": {"qemu-arm-static", "-cpu", "arm926"},
}

// command returns a command that runs a program for a platform.
func command(t *testing.T, target platform.Target, program string, args ...string) *exec.Cmd {
	t.Helper()
	argv := append([]string{program}, args...)
	if emulated(target) {
		emulator := emulators[target.Name]
		testtools.Require(t, local.Tool{Command: emulator[0], Package: "qemu-user-static"})
		argv = append(append([]string{}, emulator...), argv...)
	}
	return exec.CommandContext(t.Context(), argv[0], argv[1:]...)
}

// native returns this machine's own platform.
func native(t *testing.T) platform.Target {
	t.Helper()
	target, err := platform.Parse(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// environment returns the environment in which a toolchain compiles for a platform.
func environment(toolchain string, target platform.Target) []string {
	return append(testtools.Environment(target), "GOTOOLCHAIN="+toolchain)
}

// build compiles the directory of testdata with the given name, and returns the path of the program.
func build(t *testing.T, toolchain string, target platform.Target, name string, flags ...string) string {
	t.Helper()
	return ordinary(toolchain, target).build(t, name, flags...)
}

func (c compiler) build(t *testing.T, name string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	// The language version must be one that old toolchains know.
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module program\n\ngo 1.25\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, v := range recipe.CompilerMemory() {
		c.env = append(c.env, v.Name+"="+v.Value)
	}
	c.run(t, dir, append([]string{"build", "-o", name}, flags...)...)
	return filepath.Join(dir, name)
}

// compiler is a go command that compiles for a platform, with what strips its programs.
type compiler struct {
	toolchain, program string
	env                []string
	// overlay is the path of the file that tells the compiler which files of Go's library to replace, or "".
	overlay string
	strip   func([]byte) error
}

func ordinary(toolchain string, target platform.Target) compiler {
	return compiler{toolchain: toolchain, program: "go", env: environment(toolchain, target), strip: pclntab.Strip}
}

// withShortRecords compiles with the recipe's changes to Go's runtime.
func withShortRecords(t *testing.T, toolchain string, target platform.Target) compiler {
	t.Helper()
	c := ordinary(toolchain, target).withOverlay(t)
	c.strip = pclntab.StripShort
	config := recipe.Default()
	if err := config.Complete(); err != nil {
		t.Fatal(err)
	}
	steps := recipe.Plan{Target: target, Config: config}.Tailscale().Steps
	i := slices.IndexFunc(steps, func(step []string) bool { return slices.Contains(step, "runtime/symtab.go") })
	if i < 0 {
		t.Fatal("no step changes the runtime")
	}
	step := slices.Clone(steps[i])
	step[slices.Index(step, recipe.BuildDir+"/overlay.json")] = c.overlay
	cmd := exec.CommandContext(t.Context(), step[0], step[1:]...)
	cmd.Dir = filepath.Dir(c.overlay)
	if out, code := run(t, cmd, c.env...); code != 0 {
		t.Fatalf("changing the runtime: exit code %d\n%s", code, out)
	}
	return c
}

// withOverlay prepares a compiler to replace files of Go's library.
func (c compiler) withOverlay(t *testing.T) compiler {
	t.Helper()
	root, modules := c.run(t, ".", "env", "GOROOT"), c.run(t, ".", "env", "GOMODCACHE")
	dir := t.TempDir()
	// The go command doesn't replace files in its module cache, where the toolchain may be.
	if err := os.Symlink(modules, filepath.Join(dir, "modules")); err != nil {
		t.Fatal(err)
	}
	c.program, c.overlay = filepath.Join(root, "bin/go"), filepath.Join(dir, "overlay.json")
	c.env = append(c.env, "GOTOOLCHAIN=local", "GOMODCACHE="+filepath.Join(dir, "modules"), "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	return c
}

// withEndingTests makes tests end that log while a Cleanup runs. Package testing then compares the names of functions
// until it finds a different one, and a stripped program has no names.
func (c compiler) withEndingTests(t *testing.T) compiler {
	t.Helper()
	replaced := struct{ Replace map[string]string }{map[string]string{}}
	if c.overlay == "" {
		c = c.withOverlay(t)
	} else if err := json.Unmarshal(read(t, c.overlay), &replaced); err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(c.program, "../../src/testing/testing.go")
	const comparison = "if frame.Function == c.cleanupName {"
	content := read(t, original)
	if bytes.Count(content, []byte(comparison)) != 1 {
		t.Fatalf("%s doesn't have the line to change", original)
	}
	changed := filepath.Join(filepath.Dir(c.overlay), "testing.go")
	if err := os.WriteFile(changed, bytes.Replace(content, []byte(comparison), []byte("if false {"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	replaced.Replace[original] = changed
	overlay, err := json.Marshal(replaced)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.overlay, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func goCommand(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	return compiler{program: "go", env: env}.run(t, dir, args...)
}

// run runs the go command, and returns what it prints.
func (c compiler) run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	if c.overlay != "" {
		args = append([]string{args[0], "-overlay", c.overlay}, args[1:]...)
	}
	cmd := exec.CommandContext(t.Context(), c.program, args...)
	cmd.Dir, cmd.Env = dir, c.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// strip writes the stripped program next to the program, and returns its path.
func strip(t *testing.T, program string) string {
	t.Helper()
	return stripWith(t, pclntab.Strip, program)
}

func stripWith(t *testing.T, strip func([]byte) error, program string) string {
	t.Helper()
	content := read(t, program)
	if err := strip(content); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program+".stripped", content, 0o755); err != nil {
		t.Fatal(err)
	}
	return program + ".stripped"
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// run returns a program's output and exit code, which is -1 if a signal ended it.
func run(t *testing.T, cmd *exec.Cmd, env ...string) (out string, code int) {
	t.Helper()
	cmd.Env = append(os.Environ(), env...)
	both, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(both), cmd.ProcessState.ExitCode()
}

// stripping lists the files that affect a stripped program and how the tests build it.
var stripping = []string{"program.go", "function.go", "strip.go", "programs_test.go", "testdata", "../../recipe/runtime.go"}

// passedBefore reports whether the test has passed with the same files and toolchains. If not, it records that when
// the test passes.
func passedBefore(t *testing.T, about ...string) bool {
	t.Helper()
	base, err := local.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, toolchains, runtime.Version(), recipe.PreviousTailscaleVersion, testmode.IsLong())
	for _, root := range append(about, stripping...) {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				content := read(t, path)
				_, _ = fmt.Fprintln(sum, path, len(content))
				_, _ = sum.Write(content)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	these := hex.EncodeToString(sum.Sum(nil))
	directory := base + "-pclntab"
	stamp := filepath.Join(directory, strings.ReplaceAll(t.Name(), "/", "-"))
	if before, err := os.ReadFile(stamp); err == nil && string(before) == these {
		t.Logf("NOT RUN AGAIN: according to %s, the test has passed with the same files; remove that file to run the test", stamp)
		return true
	}
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() || partly() {
			return
		}
		if err := errors.Join(os.MkdirAll(directory, 0o755), os.WriteFile(stamp, []byte(these), 0o644)); err != nil {
			t.Error(err)
		}
	})
	return false
}

// partly reports whether the user selected subtests.
func partly() bool {
	return strings.Contains(flag.Lookup("test.run").Value.String(), "/") || flag.Lookup("test.skip").Value.String() != ""
}
