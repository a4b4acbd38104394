package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/routeros"
)

// asCommand makes the test program behave like the command, so that a test can run it as a process.
const asCommand = "MIKROTIK_TAILSCALE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	code := m.Run()
	if err := closeBrowser(); err != nil {
		fmt.Fprintln(os.Stderr, "closing the browser:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// call runs the command within the test. It returns the output and the exit code.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return out.String(), err.String(), code
}

// emptyDir returns a directory that must be empty at the end of the test.
func emptyDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v (%v)", left, err)
		}
	})
	return dir
}

func TestWrongCallsAreRejectedBeforeAnythingIsBuilt(t *testing.T) {
	list := filepath.Join(t.TempDir(), "my.txt")
	if err := os.WriteFile(list, []byte("[shell]\nash\nsh\nfrobnicate\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	extra := t.TempDir()
	if err := os.WriteFile(filepath.Join(extra, "tool"), []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"no platform":         {nil, []string{"no platform", "amd64, arm64, arm, armv5"}},
		"unknown platform":    {[]string{"--arch", "mips"}, []string{`unknown platform "mips"`, "armv5 (also armel, arm32v5, linux/arm/v5)"}},
		"no number":           {[]string{"--arch", "arm", "--jobs", "two"}, []string{`malformed value "two" of --jobs: want a whole number`}},
		"neither yes nor no":  {[]string{"--arch", "arm", "--keep-symbols=maybe"}, []string{`malformed value "maybe" of --keep-symbols: want true or false`}},
		"unpaired quote":      {[]string{"--arch", `"arm`}, []string{`of --arch: want values with commas between`}},
		"malformed version":   {[]string{"--arch", "arm", "--tailscale-version", "latest"}, []string{`malformed Tailscale version "latest"`, recipe.TailscaleVersion}},
		"forgotten plus":      {[]string{"--arch", "arm", "--features", "ssh"}, []string{"lack cli, ipnbus, unixsocketidentity", "write +ssh to add"}},
		"needed feature":      {[]string{"--arch", "arm", "--features", "-cli"}, []string{"lack cli", "your own entrypoint"}},
		"unknown Go":          {[]string{"--arch", "arm", "--go-version", "1.29.0"}, []string{`unsupported Go version "1.29.0"`}},
		"malformed Go":        {[]string{"--arch", "arm", "--go-version", "1.26"}, []string{`malformed Go version "1.26"`}},
		"nameless proxy":      {[]string{"--arch", "arm", "--go-proxy", "http://"}, []string{`malformed Go proxy "http://"`}},
		"unknown database":    {[]string{"--arch", "arm", "--go-sumdb", "sum.example"}, []string{`malformed Go checksum database "sum.example"`}},
		"malformed feature":   {[]string{"--arch", "arm", "--features", "SSH!"}, []string{`malformed feature "SSH!"`}},
		"mixed features":      {[]string{"--arch", "arm", "--features", "+ssh,dns"}, []string{"+ssh,dns", "either names, or only names with + or -"}},
		"removed feature":     {[]string{"--arch", "arm", "--features", "-ssh"}, []string{`feature "ssh" is not in the default list`}},
		"nameless feature":    {[]string{"--arch", "arm", "--features", "+"}, []string{`malformed feature "+"`, "+ssh"}},
		"unknown set":         {[]string{"--arch", "arm", "--applet-set", "all"}, []string{`unknown applet set "all"`, "default, minimal"}},
		"unknown applet":      {[]string{"--arch", "arm", "--applets", list}, []string{list + `:4: unknown applet "frobnicate"`}},
		"no applet list":      {[]string{"--arch", "arm", "--applets", "nowhere.txt"}, []string{"nowhere.txt", "no such file"}},
		"unknown compression": {[]string{"--arch", "arm", "--compression", "zip"}, []string{`unknown compression "zip"`, "launcher, upx, none"}},
		"malformed checksum":  {[]string{"--arch", "arm", "--busybox-checksum", "abc"}, []string{`malformed busybox checksum "abc"`, "64 hexadecimal digits"}},
		"unknown busybox":     {[]string{"--arch", "arm", "--busybox-version", "1.36.1"}, []string{"no checksum is known for busybox 1.36.1"}},
		"malformed mirror":    {[]string{"--arch", "arm", "--debian-mirror", "ftp://x"}, []string{`malformed Debian mirror "ftp://x"`}},
		"malformed proxy":     {[]string{"--arch", "arm", "--go-proxy", "https://proxy.example,somewhere"}, []string{`malformed Go proxy "somewhere"`, "direct or off"}},
		"malformed tag":       {[]string{"--arch", "arm", "--tag", "UPPER CASE"}, []string{`malformed image tag "UPPER CASE"`}},
		"no revision":         {[]string{"--arch", "arm", "--revision", "0"}, []string{"revision is 0: want 1 or more"}},
		"malformed label":     {[]string{"--arch", "arm", "--labels", "novalue"}, []string{`malformed label "novalue": want name=value`}},
		"label twice":         {[]string{"--arch", "arm", "--labels", "a=1", "--labels", "a=2"}, []string{`malformed label "a=2"`, "each name once"}},
		"relative entrypoint": {[]string{"--arch", "arm", "--entrypoint", "sh"}, []string{`malformed entrypoint "sh"`, "beginning with /"}},
		"no extra directory":  {[]string{"--arch", "arm", "--extra", "nowhere"}, []string{"extra directory nowhere", "no such file"}},
		"extra is a file":     {[]string{"--arch", "arm", "--extra", list}, []string{"extra directory " + list, "not a directory"}},
		"absent entrypoint":   {[]string{"--arch", "arm", "--entrypoint", "/bin/own"}, []string{`entrypoint ["/bin/own"] can't be started`, "no bin/own"}},
		"broken extra file":   {[]string{"--arch", "arm", "--extra", extra}, []string{"the extra directory " + extra, "for arm: tool: cannot be read as the ELF binary"}},
		"two applet lists":    {[]string{"--arch", "arm", "--applets", list, "--applet-names", "ash"}, []string{"want one of them"}},
		"unknown applet name": {[]string{"--arch", "arm", "--applet-names", "ash,frobnicate"}, []string{`unknown applet "frobnicate"`}},
		"no jobs":             {[]string{"--arch", "arm", "--jobs", "0"}, []string{"jobs is 0"}},
		"an argument":         {[]string{"arm"}, []string{`unexpected argument "arm"`}},
		"unknown flag":        {[]string{"--bogus"}, []string{"unknown flag: --bogus"}},
		"output in a file":    {[]string{"--arch", "arm", "--output", list + "/x.tar"}, []string{list, "not a directory"}},
		"output in /proc":     {[]string{"--arch", "arm", "--output", "/proc/x/y.tar"}, []string{"output directory /proc/x can't be written: /proc"}},
		"output is a file":    {[]string{"--arch", "all", "--output", list}, []string{list, "not a directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(emptyDir(t))
			cache := filepath.Join(t.TempDir(), "cache")
			stdout, stderr, code := call(t, append([]string{"build", "--cache-dir", cache}, c.args...)...)
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d, standard output %q; want %d and nothing", code, stdout, exitUsage)
			}
			if strings.Count(stderr, "\n") != 1 {
				t.Errorf("one mistake results in several errors:\n%s", stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("error does not say %q:\n%s", want, stderr)
				}
			}
			if _, err := os.Stat(cache); err == nil {
				t.Error("the cache was touched")
			}
		})
	}
}

func TestTheErrorContainsEveryProblem(t *testing.T) {
	_, stderr, _ := call(t, "build", "--arch", "arm", "--tailscale-version", "x", "--compression", "y", "--applet-set", "z")
	for _, want := range []string{`"x"`, `"y"`, `"z"`} {
		if !strings.Contains(stderr, want) {
			t.Errorf("error does not name %s:\n%s", want, stderr)
		}
	}
}

func TestSourceDateEpochIsChecked(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, stderr, code := call(t, "build", "--arch", "arm"); code != exitUsage || !strings.Contains(stderr, `"yesterday"`) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestReadOnlyOutputIsRefusedAtOnce(t *testing.T) {
	dir := mountTmpfs(t, "ro")
	_, stderr, code := call(t, "build", "--arch", "arm", "--output", dir+"/x.tar")
	if code != exitUsage || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "read-only file system") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// mountTmpfs mounts a small file system with additional mount options.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mounting a file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if options == "ro" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFailuresWhileBuilding(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	zeros := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"unknown feature": {[]string{"--features", "+warpdrive"}, exitUsage, []string{"Tailscale " + recipe.TailscaleVersion + ` has no feature "warpdrive"`, "netstack"}},
		"absent version":  {[]string{"--tailscale-version", "1.2.999"}, exitFailure, []string{"features:", "tailscale.com@v1.2.999"}},
		"wrong checksum":  {[]string{"--busybox-checksum", zeros}, exitFailure, []string{"busybox-source:", zeros, "busybox " + recipe.BusyboxVersion}},
		"silent mirror":   {[]string{"--debian-mirror", "http://127.0.0.1:1/debian"}, exitFailure, []string{"debian", "mmdebstrap", "127.0.0.1"}},
		"silent proxy":    {[]string{"--go-proxy", "http://127.0.0.1:1", "--tailscale-version", "1.2.998"}, exitFailure, []string{"features:", "127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(emptyDir(t))
			if name == "silent mirror" { // mirrors are not used for content that is in the cache
				c.args = append(c.args, "--cache-dir", filepath.Join(t.TempDir(), "cache"))
			}
			stdout, stderr, code := call(t, append([]string{"build", "--arch", "arm"}, c.args...)...)
			if code != c.code || stdout != "" {
				t.Errorf("exit code %d, standard output %q; want %d and nothing", code, stdout, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("error does not say %q:\n%s", want, stderr)
				}
			}
		})
	}
}

func TestFullDiskLeavesNothing(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	for name, args := range map[string][]string{
		"for the output": {"--output", "DIR/x.tar"},
		"for the cache":  {"--output", "/dev/null/x", "--cache-dir", "DIR"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := mountTmpfs(t, "")
			for i := range args {
				args[i] = strings.Replace(args[i], "DIR", dir, 1)
			}
			if strings.Contains(name, "cache") {
				args[1] = filepath.Join(emptyDir(t), "x.tar")
			}
			_, stderr, code := call(t, append([]string{"build", "--arch", "arm"}, args...)...)
			if code != exitFailure || !strings.Contains(strings.ToLower(stderr), "no space left on device") {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			left, err := filepath.Glob(filepath.Join(dir, "*.tar"))
			if partial, _ := filepath.Glob(filepath.Join(dir, ".partial*")); err != nil || len(left)+len(partial) > 0 {
				t.Errorf("left behind: %v %v", left, partial)
			}
		})
	}
}

func TestMissingToolsAreNamed(t *testing.T) {
	t.Chdir(emptyDir(t))
	t.Setenv("PATH", t.TempDir()) // apt-get is missing, too
	_, stderr, code := call(t, "build", "--arch", "arm")
	if code != exitFailure {
		t.Errorf("exit code %d; want %d", code, exitFailure)
	}
	for _, want := range []string{"missing on this machine: mmdebstrap, bwrap, tar, go", "apt-get install mmdebstrap bubblewrap tar golang-go"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("error does not say %q:\n%s", want, stderr)
		}
	}
}

func TestProbableMistakesAreWarnedOf(t *testing.T) {
	t.Chdir(emptyDir(t))
	t.Setenv("PATH", t.TempDir()) // the build fails because tools are missing
	for _, args := range [][]string{
		{"build", "--arch", "arm", "--features=-osrouter", "--tailscale-version=1.103.2"},
		{"features", "--tailscale-version=1.103.2"},
	} {
		_, stderr, _ := call(t, args...)
		if !strings.Contains(stderr, "warning: Tailscale 1.103.2 is an unstable release") {
			t.Errorf("%v: no warning about the release:\n%s", args, stderr)
		}
		if strings.Contains(stderr, "warning: the features lack osrouter") != (args[0] == "build") {
			t.Errorf("%v: the warnings about features are:\n%s", args, stderr)
		}
	}
}

// hasChild says whether a process has started another one that still runs.
func hasChild(pid int) bool {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	return slices.ContainsFunc(lists, func(path string) bool {
		children, err := os.ReadFile(path)
		return err == nil && len(children) > 0
	})
}

func TestInterruptingABuildLeavesNothing(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	cache, output := t.TempDir(), emptyDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "build", "--arch", "arm", "--json", "--cache-dir", cache, "--output", filepath.Join(output, "x.tar"))
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.HasSuffix(lines.Text(), "started") {
	}
	for !hasChild(cmd.Process.Pid) { // the stage is running then
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stderr); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d; want %d", code, exitInterrupted)
	}
	var told map[string]string
	if err := json.Unmarshal(stdout.Bytes(), &told); err != nil || told["error"] != "interrupted, nothing was written" {
		t.Errorf("standard output %q (%v)", stdout.String(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "tmp", "run-*")); len(left) > 0 {
		t.Errorf("left behind in the cache: %v", left)
	}
}

// On a terminal, stages are moving lines, and the command ends after they have finished.
func TestProgressOnATerminal(t *testing.T) {
	testtools.Require(t, append(local.Tools(), local.Tool{Command: "script", Package: "bsdutils"})...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	for name, c := range map[string]struct {
		args string
		want []string
	}{
		"success": {"--arch arm", []string{"tailscale arm", "done", "sha256"}},
		"failure": {"--arch arm --busybox-checksum " + strings.Repeat("0", 64), []string{"busybox-source", "failed", "Error: "}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.CommandContext(ctx, "script", "--quiet", "--command", "stty rows 24 cols 100; exec "+os.Args[0]+" build "+c.args, "/dev/null")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), asCommand+"=1", "TERM=xterm")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Error(err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the terminal does not show %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestHelpListsTheChoices(t *testing.T) {
	stdout, _, code := call(t, "build", "--help")
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{"linux/arm/v5", "E50UG", "--features", "SOURCE_DATE_EPOCH", "default or minimal", recipe.TailscaleVersion} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}

// Help and documentation only name output files that a build writes, and documentation files that exist.
func TestFilesThatHelpNamesExist(t *testing.T) {
	texts := map[string]string{}
	root, _, _ := call(t, "--help")
	for _, command := range regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(root, -1) {
		texts[command[1]], _, _ = call(t, command[1], "--help")
	}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no files match %s (%v)", pattern, err)
		}
		for _, path := range paths {
			texts[path] = read(t, path)
		}
	}
	written := []string{"tailscale-ARCH.tar"}
	for _, p := range platform.All() {
		written = append(written, assembly.TarballName(p), attest.SymbolsName(p), attest.SBOMName(p))
	}
	for _, kind := range append(slices.Clone(routeros.Kinds), routeros.AppKinds...) {
		// A store has an app for each site, for example home.
		written = append(written, routeros.Default().Name+"-"+kind+".rsc", routeros.Default().Name+"-home-"+kind+".rsc")
	}
	found := map[string]bool{}
	for where, text := range texts {
		for _, name := range regexp.MustCompile(`\btailscaled?-[\w.-]*\.(?:tar|symbols|cdx\.json|rsc)\b`).FindAllString(text, -1) {
			found[name] = true
			if !slices.Contains(written, name) {
				t.Errorf("%s names the file %s, which no build writes", where, name)
			}
		}
		for _, name := range regexp.MustCompile(`\bdocs/\w+\.\w+`).FindAllString(text, -1) {
			if _, err := os.Stat("../../" + name); err != nil {
				t.Errorf("%s names a file that isn't there: %v", where, err)
			}
		}
	}
	if len(found) < 3 || texts["symbolize"] == "" {
		t.Errorf("found only the files %v in the help", found)
	}
}

func TestAppletsPrintsAListThatBuildTakes(t *testing.T) {
	stdout, _, code := call(t, "applets", "--applet-set", "minimal")
	if code != 0 || !strings.HasPrefix(stdout, "[shell]\nash\nsh\n") {
		t.Fatalf("exit code %d: %s", code, stdout)
	}
	list := filepath.Join(t.TempDir(), "my.txt")
	if err := os.WriteFile(list, []byte(stdout), 0o644); err != nil {
		t.Fatal(err)
	}
	again, _, code := call(t, "applets", "--applets", list)
	if code != 0 || again != stdout {
		t.Errorf("the list differs after reading it back (exit code %d):\n%s", code, again)
	}
	asJSON, _, _ := call(t, "applets", "--applets", list, "--json")
	var parsed struct {
		Groups []struct {
			Name    string
			Applets []string
		}
	}
	if err := json.Unmarshal([]byte(asJSON), &parsed); err != nil || len(parsed.Groups) == 0 || !slices.Contains(parsed.Groups[0].Applets, "ash") {
		t.Errorf("JSON %v (%v)", parsed, err)
	}
}

func TestFeaturesPrintsWhatChangesCost(t *testing.T) {
	want, err := size.FeatureCosts()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := call(t, "features", "--cost")
	if code != 0 || stdout != want.Table() || !strings.Contains(stdout, "+ssh ") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	stdout, stderr, code = call(t, "features", "--cost", "--json")
	got, err := size.ParseCosts(stdout)
	if diff := cmp.Diff(want, got); code != 0 || err != nil || diff != "" {
		t.Errorf("exit code %d: %v %s (-want +got):\n%s", code, err, stderr, diff)
	}
	_, stderr, code = call(t, "features", "--cost", "--tailscale-version", "1.102.5", "--no-cache")
	if code != exitUsage || !strings.Contains(stderr, "--cost with --no-cache, --tailscale-version: want it alone") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestFeaturesMarksTheDefaultOnes(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	stdout, stderr, code := call(t, "features")
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{"* dns ", "  netstack ", "+ c2n ", "  ssh "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the list has no line %q:\n%s", want, stdout)
		}
	}
}
