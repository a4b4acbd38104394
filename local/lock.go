package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"dagger/mikrotik-tailscale/recipe"
)

// Lock returns the content of the lock file for the current Debian archive, and the origin of the packages. It
// installs nothing: apt computes what it would install, for each architecture of build machines.
func (d *Builder) Lock(ctx context.Context) (lock, origin string, err error) {
	from := d.source()
	configs := map[string]string{}
	lock, err = recipe.FormatLock(func(machine string, s recipe.PackageSet) ([]string, error) {
		if configs[machine] == "" {
			config, err := d.aptFor(ctx, machine, from)
			if err != nil {
				return nil, fmt.Errorf("reading the packages of %s for %s: %w", from.origin, machine, err)
			}
			configs[machine] = config
		}
		lines, err := d.simulate(ctx, configs[machine], machine, s)
		if err != nil {
			return nil, fmt.Errorf("working out the packages of %s for %s: %w", s.Name, machine, err)
		}
		return lines, nil
	})
	return lock, from.origin, err
}

// aptFor creates an empty system for apt with the package lists for an architecture, and returns the configuration
// file for it. Close removes it.
func (d *Builder) aptFor(ctx context.Context, machine string, from archive) (string, error) {
	dir, err := d.Scratch()
	if err != nil {
		return "", err
	}
	for _, sub := range []string{"etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return "", err
		}
	}
	config := filepath.Join(dir, "apt.conf")
	settings := fmt.Sprintf("Dir %q;\nDir::State::Status %q;\nAPT::Architecture %q;\nAPT::Architectures %[3]q;\n"+
		"APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n",
		dir, dir+"/var/lib/dpkg/status", machine)
	err = errors.Join(
		os.WriteFile(config, []byte(settings), 0o644),
		os.WriteFile(filepath.Join(dir, "etc/apt/sources.list"), []byte(from.line(recipe.DebianSuite)), 0o600),
		os.WriteFile(filepath.Join(dir, "var/lib/dpkg/status"), nil, 0o644))
	if err != nil {
		return "", err
	}
	update := command{argv: []string{"apt-get", "update", "-qq", "--error-on=any", "-o", "Acquire::Retries=1"}, env: aptEnv(config), hide: d.hide}
	_, err = update.run(ctx)
	return config, err
}

func aptEnv(config string) []string { return []string{"APT_CONFIG=" + config, "LC_ALL=C.UTF-8"} }

// planned matches a line in which apt prints what it would install: name, version and architecture.
var planned = regexp.MustCompile(`^Inst (\S+) \((\S+) .*\[(\w+)\]\)`)

// simulate returns the packages that mmdebstrap would install.
func (d *Builder) simulate(ctx context.Context, config, machine string, s recipe.PackageSet) ([]string, error) {
	essential := fmt.Sprintf("?narrow(?or(?archive(^%s$),?codename(^%[1]s$)),?architecture(%s),?essential)", recipe.DebianSuite, machine)
	install := command{argv: append([]string{"apt-get", "install", "--simulate", "--yes", essential, "apt"}, s.Packages...), env: aptEnv(config), hide: d.hide}
	out, err := install.run(ctx)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(out) {
		if found := planned.FindStringSubmatch(line); found != nil {
			lines = append(lines, found[1]+" "+found[3]+" "+found[2])
		}
	}
	return lines, nil
}
