package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/recipe/address"
)

const goRoot = "/usr/local/go"

// run runs a stage's steps in a sandbox on a root, and keeps the output.
func (d *Builder) run(ctx context.Context, s recipe.Stage, key, root string, inputs map[string]string) (string, error) {
	work, err := os.MkdirTemp(d.scratch, "stage-*")
	if err != nil {
		return "", fmt.Errorf("creating a scratch directory: %w", err)
	}
	defer func() { _ = RemoveAll(work) }()
	sandbox := newSandbox(root)
	places := map[string]string{recipe.OutDir: "out"}
	if s.Base == recipe.BaseGo {
		places["/tmp"] = "tmp" // all compiled packages
	} else {
		sandbox.args = append(sandbox.args, "--tmpfs", "/tmp") // a file for each call of a compiler
	}
	for place, writable := range places {
		dir := filepath.Join(work, writable)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", fmt.Errorf("creating a scratch directory: %w", err)
		}
		sandbox.mount("--bind", dir, place)
	}
	// Sources have thousands of small files, which a disk's file system takes longer to create and remove than all else
	// that is done with most of them. They need less than 100 MB of memory.
	sandbox.args = append(sandbox.args, "--tmpfs", recipe.BuildDir, "--tmpfs", recipe.InDir)
	for _, f := range s.Files {
		path := filepath.Join(work, "in", f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", fmt.Errorf("creating the directory of %s: %w", f.Name, err)
		}
		if err := os.WriteFile(path, []byte(f.Content), 0o644); err != nil {
			return "", fmt.Errorf("writing %s: %w", f.Name, err)
		}
		sandbox.mount("--ro-bind", path, recipe.InDir+"/"+f.Name)
	}
	for name, path := range inputs {
		sandbox.mount("--ro-bind", path, recipe.InDir+"/"+name)
	}
	for _, name := range recipe.AddressVariables(s) {
		sandbox.secret(name, d.Addresses.Variables()[name])
	}
	if s.Network {
		sandbox.network()
	} else {
		sandbox.args = append(sandbox.args, "--unshare-net")
	}
	if s.Base == recipe.BaseGo {
		if err := sandbox.goToolchain(ctx, d, s); err != nil {
			return "", err
		}
	}
	for _, v := range s.Env {
		sandbox.setenv(v.Name, v.Value)
	}
	if err := sandbox.runSteps(ctx, s.Steps, filepath.Join(work, "started")); err != nil {
		return "", err
	}
	notes, err := os.ReadFile(filepath.Join(work, "out", filepath.Base(recipe.NotesFile)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading its notes: %w", err)
	}
	d.tell(s, key, string(notes))
	output := filepath.Join(work, "out", s.Output)
	if info, err := os.Lstat(output); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("its steps did not write the file %s", s.Output)
	}
	return d.keep(key, output, string(notes))
}

// runSteps runs steps in one sandbox, which ends with them. started is the path of a file for their numbers.
func (s *sandbox) runSteps(ctx context.Context, steps [][]string, started string) error {
	numbers, err := os.Create(started)
	if err != nil {
		return fmt.Errorf("creating a scratch file: %w", err)
	}
	defer func() { _ = numbers.Close() }()
	all := s.command([]string{"sh", "-c", inOrder(steps)})
	all.output = numbers
	_, failure := all.run(ctx)
	if failure == nil {
		return nil
	}
	text, err := os.ReadFile(started)
	if err != nil {
		return errors.Join(failure, err)
	}
	last := len(strings.Fields(string(text)))
	if last == 0 {
		return fmt.Errorf("starting the sandbox: %w", failure)
	}
	return fmt.Errorf("step %d of %d, %s: %w", last, len(steps), abbreviate(steps[last-1]), failure)
}

// inOrder returns a shell script that runs steps until one fails. It prints the number of each step before it starts. The
// output of steps goes to standard error.
func inOrder(steps [][]string) string {
	var script strings.Builder
	for i, step := range steps {
		fmt.Fprintf(&script, "echo %d\n(exec", i+1)
		for _, word := range step {
			script.WriteString(" '" + strings.ReplaceAll(word, "'", `'\''`) + "'")
		}
		script.WriteString(") >&2 || exit\n")
	}
	return script.String()
}

// sandbox collects the arguments of a bubblewrap command.
type sandbox struct {
	args []string
	// secrets are environment variables whose values nobody may see.
	secrets map[string]string
}

// confined is the beginning of every sandbox's command. Steps run as root in their own user namespace without any
// capabilities, even if the build itself runs as root. The root and the inputs belong to the cache, and a step that
// could mount file systems could make them writable.
var confined = []string{"bwrap", "--unshare-user", "--uid", "0", "--gid", "0", "--cap-drop", "ALL",
	"--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session", "--clearenv"}

func newSandbox(root string) *sandbox {
	s := &sandbox{args: slices.Clone(confined), secrets: map[string]string{}}
	s.mount("--ro-bind", root, "/")
	// Root in the user namespace may be root outside, who can change the kernel's settings in /proc without any
	// capability.
	s.args = append(s.args, "--dev", "/dev", "--proc", "/proc", "--remount-ro", "/proc", "--chdir", recipe.BuildDir)
	s.setenv("PATH", goRoot+"/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	s.setenv("HOME", "/tmp")
	s.setenv("LC_ALL", "C.UTF-8")
	return s
}

func (s *sandbox) mount(how, from, to string) { s.args = append(s.args, how, from, to) }
func (s *sandbox) setenv(name, value string)  { s.args = append(s.args, "--setenv", name, value) }

// secret sets an environment variable that may contain a password. It does nothing if the value is empty.
func (s *sandbox) secret(name, value string) {
	if value != "" {
		s.secrets[name] = value
	}
}

// command returns the command for a step in the sandbox. bubblewrap reads the secrets from a pipe.
func (s *sandbox) command(step []string) command {
	c := command{hide: func(text string) string { return address.Hide(text, slices.Collect(maps.Values(s.secrets))...) }}
	c.argv = slices.Clone(s.args)
	if len(s.secrets) > 0 {
		for name, value := range s.secrets {
			c.third += strings.Join([]string{"--setenv", name, value, ""}, "\x00")
		}
		c.argv = append(c.argv, "--args", "3")
	}
	c.argv = slices.Concat(c.argv, []string{"--"}, step)
	return c
}

// network gives the sandbox the same network access as this machine: its resolver, its proxies and its trusted
// certificates.
func (s *sandbox) network() {
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if real, err := filepath.EvalSymlinks(file); err == nil {
			s.mount("--ro-bind", real, file)
		}
	}
	for _, name := range proxyVariables {
		s.secret(name, os.Getenv(name))
	}
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	for _, file := range []string{os.Getenv("SSL_CERT_FILE"), bundle} {
		if real, err := filepath.EvalSymlinks(file); err == nil && file != "" {
			s.mount("--ro-bind", real, bundle)
			return
		}
	}
}

// proxyVariables are the environment variables for proxies, whose addresses may contain passwords.
var proxyVariables = []string{"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}

// hide removes from a text the passwords in all addresses that this run knows.
func (d *Builder) hide(text string) string {
	settings := d.Addresses.All()
	for _, name := range append([]string{recipe.GoProxyVariable, recipe.GoSumDBVariable}, proxyVariables...) {
		settings = append(settings, os.Getenv(name))
	}
	return address.Hide(text, settings...)
}

// goToolchain mounts the Go toolchain of the stage and the caches, and sets the same module proxy as this machine's.
func (s *sandbox) goToolchain(ctx context.Context, d *Builder, stage recipe.Stage) error {
	var asked string
	for _, v := range stage.Env {
		if v.Name == "GOTOOLCHAIN" {
			asked = v.Value
		}
	}
	env := []string{"GOTOOLCHAIN=" + asked, "GOWORK=off", "GOFLAGS="}
	for _, name := range recipe.AddressVariables(stage) {
		if value := d.Addresses.Variables()[name]; value != "" {
			env = append(env, name+"="+value)
		}
	}
	settings := []string{"GOROOT", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"}
	out, err := command{argv: append([]string{"go", "-C", d.scratch, "env", "-json"}, settings...), env: env, hide: d.hide}.run(ctx)
	if err != nil {
		return fmt.Errorf("finding the Go toolchain %s: %w", asked, err)
	}
	found := map[string]string{}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return fmt.Errorf("finding the Go toolchain %s: %w", asked, err)
	}
	// Distributions fill the toolchain's directory with links to other places, so the targets of the links are
	// mounted.
	parts, err := os.ReadDir(found["GOROOT"])
	if err != nil {
		return fmt.Errorf("finding the Go toolchain %s: %w", asked, err)
	}
	s.args = append(s.args, "--tmpfs", goRoot)
	for _, part := range parts {
		real, err := filepath.EvalSymlinks(filepath.Join(found["GOROOT"], part.Name()))
		if err != nil {
			return fmt.Errorf("finding the Go toolchain %s: %w", asked, err)
		}
		s.mount("--ro-bind", real, goRoot+"/"+part.Name())
	}
	modules, builds := filepath.Join(d.Cache, "go-mod"), filepath.Join(d.Cache, "go-build")
	used(modules, builds)
	s.mount("--bind", modules, recipe.GoModCache)
	s.mount("--bind", builds, recipe.GoBuildCache)
	for _, name := range settings[1:] {
		s.secret(name, found[name])
	}
	return nil
}

// checkSandbox runs a minimal sandbox.
func checkSandbox(ctx context.Context) error {
	if _, err := runCommand(ctx, nil, slices.Concat(confined, []string{"--ro-bind", "/", "/", "--", "/bin/true"})...); err != nil {
		return fmt.Errorf("can't create a sandbox on this machine: it needs user namespaces, even as root: %w", err)
	}
	return nil
}

// abbreviate returns a step for an error, on one line of limited length.
func abbreviate(step []string) string {
	const longest = 120
	shown := step
	if len(step) > 4 && step[0] == "sh" && step[1] == "-euc" {
		// A script's arguments say more than its text.
		shown = append([]string{"script with"}, step[4:]...)
	}
	text := strings.Join(strings.Fields(strings.Join(shown, " ")), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
