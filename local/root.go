package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dagger/mikrotik-tailscale/recipe"
)

// debianRoot describes what is installed in a root. Roots with the same description are the same, wherever their
// packages come from.
type debianRoot struct {
	Suite    string
	Packages recipe.Packages
	// Without are patterns of files that aren't unpacked from the packages.
	Without []string
}

func rootOf(p recipe.Packages) debianRoot {
	return debianRoot{Suite: recipe.DebianSuite, Packages: p, Without: recipe.UnusedFiles}
}

// mountPoints are the directories in a root on which the sandbox mounts something.
var mountPoints = []string{recipe.BuildDir, recipe.InDir, recipe.OutDir, recipe.GoModCache, recipe.GoBuildCache, goRoot}

// root returns the directory of the Debian root that has the given packages, and creates it if it is not in the cache.
// The root is locked against replacement.
func (d *Builder) root(ctx context.Context, p recipe.Packages) (dir string, unlock func(), err error) {
	if err := checkArchitecture(); err != nil {
		return "", nil, err
	}
	want := rootOf(p)
	key, err := keyOf(want)
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(d.Cache, "roots", key)
	title := strings.TrimSpace("debian " + p.Set)
	_, err = d.once(ctx, key, func() (any, error) { return nil, d.provideRoot(ctx, want, dir, key, title) })
	if err != nil {
		return "", nil, err
	}
	unlock, err = d.lock(ctx, key, title, false)
	return dir, unlock, err
}

// provideRoot creates a root if it is not in the cache.
func (d *Builder) provideRoot(ctx context.Context, want debianRoot, dir, key, title string) error {
	there := func(exclusive bool) (bool, func(), error) {
		unlock, err := d.lock(ctx, key, title, exclusive)
		if err != nil {
			return false, nil, err
		}
		return d.usable(key) && exists(dir), unlock, nil
	}
	// Running stages share the lock, so a stage that only looks must not ask for an exclusive one.
	if d.usable(key) {
		found, unlock, err := there(false)
		if err != nil {
			return err
		}
		unlock()
		if found {
			used(dir)
			return nil
		}
	}
	// The base is locked first: a build that has locked a root never waits for its base.
	base := ""
	if want.Packages.Base != nil {
		below, unlock, err := d.root(ctx, *want.Packages.Base)
		if err != nil {
			return err
		}
		defer unlock()
		base = below
	}
	found, unlock, err := there(true)
	if err != nil {
		return err
	}
	defer unlock()
	if found {
		return nil
	}
	if err := d.observed(ctx, title, func() error { return d.makeRoot(ctx, want, base, dir) }); err != nil {
		return err
	}
	d.markMade(key)
	return nil
}

// makeRoot creates a root in the directory dir. The directory base is the root with the packages to install first, or
// empty.
func (d *Builder) makeRoot(ctx context.Context, want debianRoot, base, dir string) error {
	work, err := os.MkdirTemp(d.scratch, "root-*")
	if err != nil {
		return fmt.Errorf("making a Debian root: %w", err)
	}
	defer func() { _ = RemoveAll(work) }()
	tree := filepath.Join(work, "root")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return fmt.Errorf("making a Debian root: %w", err)
	}
	from := d.source()
	options := append([]string{"--variant=apt", "--include=" + strings.Join(want.Packages.Names, ",")}, withoutFiles(want.Without)...)
	if base != "" {
		if options, err = onBase(ctx, want, base, work); err != nil {
			return fmt.Errorf("making a Debian root: %w", err)
		}
	}
	if err := d.bootstrap(ctx, want, from, options, tree); err != nil {
		return fmt.Errorf("making a Debian root with mmdebstrap: %w", err)
	}
	for _, p := range mountPoints {
		if err := os.MkdirAll(filepath.Join(tree, p), 0o755); err != nil {
			return fmt.Errorf("unpacking a Debian root: %w", err)
		}
	}
	for _, p := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		path := filepath.Join(tree, p)
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o644)); err != nil {
			return fmt.Errorf("unpacking a Debian root: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, recipe.OriginFile), []byte(from.origin+"\n"), 0o644); err != nil {
		return fmt.Errorf("unpacking a Debian root: %w", err)
	}
	if len(want.Packages.Locked) > 0 {
		check := newSandbox(tree)
		check.args = append(check.args, "--tmpfs", recipe.BuildDir)
		if _, err := check.command(recipe.CheckPackages(want.Packages)).run(ctx); err != nil {
			return fmt.Errorf("packages from %s: %w", from.origin, err)
		}
	}
	// An old root is moved to the scratch directory first, because a directory can't replace another one.
	if err := os.Rename(dir, filepath.Join(work, "old")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replacing a Debian root: %w", err)
	}
	now := time.Now()
	if err := errors.Join(os.Chtimes(tree, now, now), os.Rename(tree, dir)); err != nil {
		return fmt.Errorf("keeping a Debian root: %w", err)
	}
	return nil
}

// bootstrap installs a root's packages in the directory tree, with mmdebstrap's options for them. mmdebstrap writes an
// archive, because it can write a directory only for root. The archive goes through a pipe, because it is as large as the
// root.
func (d *Builder) bootstrap(ctx context.Context, want debianRoot, from archive, options []string, tree string) error {
	argv := []string{"mmdebstrap", "--format=tar",
		`--aptopt=Acquire::Retries "1"`, `--aptopt=Acquire::http::Timeout "30"`, `--aptopt=Acquire::https::Timeout "30"`,
		// A crash loses the whole root anyway, and waiting for the disk takes most of the time.
		"--dpkgopt=force-unsafe-io"}
	argv = append(argv, options...)
	env := []string{"LC_ALL=C.UTF-8"}
	if os.Geteuid() == 0 {
		// mmdebstrap mounts /proc and /sys in the directory that it fills. If it is killed, these mounts end with their
		// namespace, and the next run removes the directory. In a container, root may not be allowed to create a
		// namespace. Then mmdebstrap can't mount anything either.
		argv = append([]string{"sh", "-c", `unshare --mount true 2>/dev/null && exec unshare --mount "$@"; exec "$@"`, "sh"}, argv...)
		env = append(env, "TMPDIR="+filepath.Dir(tree))
	} else {
		argv = append(argv, "--mode=unshare")
	}
	if from.secret {
		// The root stays in the cache, so it must not contain the mirror's password. Steps get the address as a
		// secret.
		argv = append(argv, `--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*`)
	}
	argv = append(argv, want.Suite, "-", "-")
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	bootstrap := command{argv: argv, env: env, stdin: from.line(want.Suite), output: write, hide: d.hide}
	// Device nodes need privileges, and the sandbox provides its own.
	unpack := command{argv: []string{"tar", "-C", tree, "--no-same-owner", "--exclude=./dev/*", "-xf", "-"}, input: read}
	// The error of the program that failed first is the cause. Unpacking can only fail first while the pipe is open.
	unpacked := make(chan error, 1)
	go func() {
		_, err := unpack.run(ctx)
		unpacked <- err
		_ = read.Close()
	}()
	_, err = bootstrap.run(ctx)
	select {
	case first := <-unpacked:
		return errors.Join(cmp.Or(first, err), write.Close())
	default:
		closed := write.Close()
		return cmp.Or(err, <-unpacked, closed)
	}
}

// withoutFiles returns mmdebstrap's options to install packages without the files that match patterns. dpkg's own option
// would make mmdebstrap filter each package, which takes a quarter of the time. So dpkg reads the patterns in the root, and
// a hook removes the files that mmdebstrap has unpacked before it calls dpkg.
func withoutFiles(patterns []string) []string {
	quoted, below := "", ""
	for _, p := range patterns {
		quoted += " '" + p + "'"
		below += " ." + p
	}
	return []string{
		`--setup-hook=mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && printf 'path-exclude=%s\n'` + quoted + ` >"$1/etc/dpkg/dpkg.cfg.d/unused"`,
		`--extract-hook=cd "$1" && rm -rf` + below,
	}
}

// onBase returns mmdebstrap's options to install a root's packages in a copy of the root base, which has some of them. work
// is a directory for a file. Only this user can read all files of base, but mmdebstrap runs as another one unless this user
// is root. So it gets an archive.
func onBase(ctx context.Context, want debianRoot, base, work string) ([]string, error) {
	copied := filepath.Join(work, "base.tar")
	argv := []string{"tar", "-C", base, "--owner=0", "--group=0", "--numeric-owner"}
	// mmdebstrap has its own, and makeRoot writes them again.
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/apt/sources.list", recipe.OriginFile} {
		argv = append(argv, "--exclude=."+file)
	}
	argv = append(argv, "-cf", copied)
	// The base itself stays out of the archive: each stage that starts from it sets its time, which tar would report as a
	// change.
	entries, err := os.ReadDir(base)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		argv = append(argv, "./"+e.Name())
	}
	if _, err := runCommand(ctx, nil, argv...); err != nil {
		return nil, err
	}
	return []string{"--variant=custom", "--setup-hook=tar-in '" + copied + "' /",
		`--customize-hook=chroot "$1" apt-get --yes -q --no-install-recommends install ` + strings.Join(want.Packages.Names, " ")}, nil
}
