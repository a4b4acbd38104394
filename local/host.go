package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"dagger/mikrotik-tailscale/recipe"
)

// Tool is a program or file that this machine needs, with the Debian package that contains it.
type Tool struct {
	// Command is the name of a program, or the absolute path of a file.
	Command string
	Package string
}

// debianKeys are the keys that sign the Debian archive.
const debianKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Tools returns the tools that stages need.
func Tools() []Tool {
	tools := []Tool{
		{"mmdebstrap", "mmdebstrap"},
		{"bwrap", "bubblewrap"},
		{"tar", "tar"},
		{"go", "golang-go"},
		{debianKeys, "debian-archive-keyring"},
	}
	if os.Geteuid() != 0 {
		tools = append(tools, Tool{"newuidmap", "uidmap"})
	}
	return tools
}

// aptCache is the directory that installations of this project lock against each other.
const aptCache = "/var/cache/apt"

// MissingError is the error for missing tools.
type MissingError struct {
	// Commands are the missing programs or files, and Packages the Debian packages that contain them.
	Commands, Packages []string
	// Installable is true if Require could install them: on Debian and its derivatives, as root.
	Installable bool
}

func (e *MissingError) Error() string {
	return "missing on this machine: " + strings.Join(e.Commands, ", ") + ". On Debian and Ubuntu, install them as root with " + e.install()
}

// install returns the command that installs the packages.
func (e *MissingError) install() string { return "apt-get install " + strings.Join(e.Packages, " ") }

// Require returns a MissingError if tools are missing. If it could install them, it first calls allow with a sentence
// that names the missing tools and the command, and installs them if allow returns true.
func Require(ctx context.Context, allow func(what string) bool, tools ...Tool) error {
	missing := &MissingError{Installable: os.Geteuid() == 0 && isDebian()}
	for _, t := range tools {
		if !t.present() {
			missing.Packages, missing.Commands = append(missing.Packages, t.Package), append(missing.Commands, t.Command)
		}
	}
	if len(missing.Packages) == 0 {
		return nil
	}
	if !missing.Installable || !allow("missing on this machine: "+strings.Join(missing.Commands, ", ")+"; to be installed with "+missing.install()) {
		return missing
	}
	packages := missing.Packages
	// apt fails if another apt is running, for example in another build.
	lock := flock.New(aptCache, flock.SetFlag(os.O_RDONLY))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return fmt.Errorf("waiting for another installation to end: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	if _, err := runCommand(ctx, env, "apt-get", "update", "-qq"); err != nil {
		return fmt.Errorf("installing %s: %w", strings.Join(packages, ", "), err)
	}
	if _, err := runCommand(ctx, env, append([]string{"apt-get", "install", "-y", "-qq", "--no-install-recommends"}, packages...)...); err != nil {
		return fmt.Errorf("installing %s: %w", strings.Join(packages, ", "), err)
	}
	return nil
}

func (t Tool) present() bool {
	if strings.HasPrefix(t.Command, "/") {
		_, err := os.Stat(t.Command)
		return err == nil
	}
	_, err := exec.LookPath(t.Command)
	return err == nil
}

func isDebian() bool {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return false
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(release)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name != "ID" && name != "ID_LIKE" {
			continue
		}
		for _, id := range strings.Fields(strings.Trim(value, `"`)) {
			if id == "debian" || id == "ubuntu" {
				return true
			}
		}
	}
	return false
}

// checkArchitecture returns an error if this machine's architecture is not in the lock file. Only amd64 and arm64 have
// Debian's cross compilers for every target.
func checkArchitecture() error {
	if slices.Contains(recipe.Machines, runtime.GOARCH) {
		return nil
	}
	return fmt.Errorf("this machine is %s: images are built on %s", runtime.GOARCH, strings.Join(recipe.Machines, " or "))
}
