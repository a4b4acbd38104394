package recipe

import (
	_ "embed"
	"runtime"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// Packages are Debian packages that are installed together.
type Packages struct {
	// Names are the packages that a stage asks for.
	Names []string
	// Locked are all packages that are installed then, a line each with name, architecture and version. It is empty
	// on a machine whose architecture the lock does not know.
	Locked []string
}

// packagesLock records the versions of packages: for each kind of build machine and each set, a line with both in
// brackets and then the packages. The command lock writes it.
//
//go:embed packages.lock
var packagesLock string

// LockFile is where the lock stands in the sources.
const LockFile = "recipe/packages.lock"

// Machines are the kinds of build machine that the lock knows, by Go's and Debian's name.
var Machines = []string{"amd64", "arm64"}

// PackageSet is a set of packages that some stages ask for, with the name that it has in the lock.
type PackageSet struct {
	Name     string
	Packages []string
}

// tools are installed wherever no compiler is needed, the same for every such stage, so that they share one root file
// system.
var tools = PackageSet{"tools", []string{"ca-certificates", "upx-ucl"}}

// compilers are installed wherever C is compiled for a target, the same for every such stage, so that they share one
// root filesystem.
func compilers(t platform.Target) PackageSet {
	return PackageSet{"compilers " + t.Name, []string{
		"bzip2", "gcc", "libc6-dev", "make", // gcc and libc6-dev are for the build's own tools
		"gcc-" + strings.ReplaceAll(t.Triple, "_", "-"),
		"linux-libc-dev-" + t.Debian + "-cross",
	}}
}

// PackageSets lists all sets.
func PackageSets() []PackageSet {
	all := []PackageSet{tools}
	for _, t := range platform.All() {
		all = append(all, compilers(t))
	}
	return all
}

// packages gives a set with the versions that are recorded for this kind of machine.
func (s PackageSet) packages() Packages {
	return Packages{Names: s.Packages, Locked: s.lockedFor(runtime.GOARCH, packagesLock)}
}

func (s PackageSet) lockedFor(machine, lock string) []string {
	var locked []string
	inside := false
	for line := range strings.Lines(lock) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			inside = line == s.header(machine)
		case inside:
			locked = append(locked, line)
		}
	}
	return locked
}

func (s PackageSet) header(machine string) string { return "[" + machine + " " + s.Name + "]" }

// FormatLock makes the content of the lock file. Versions gives the packages of a set on a kind of machine, as
// Packages.Locked has them.
func FormatLock(versions func(machine string, s PackageSet) ([]string, error)) (string, error) {
	var b strings.Builder
	b.WriteString("# Written by \"mikrotik-tailscale lock\". For each kind of build machine and each set of packages: name,\n" +
		"# architecture and version of everything that is installed. Do not edit.\n")
	for _, machine := range Machines {
		for _, s := range PackageSets() {
			lines, err := versions(machine, s)
			if err != nil {
				return "", err
			}
			b.WriteString("\n" + s.header(machine) + "\n" + strings.Join(slices.Sorted(slices.Values(lines)), "\n") + "\n")
		}
	}
	return b.String(), nil
}

// CheckPackages is the step that compares what is installed with the lock. A difference is an error that names both
// versions and tells how to update the lock. It runs where packages were just installed.
func CheckPackages(p Packages) []string {
	return shell(`
		{ printf '%s\n' "$1" -; dpkg-query -W -f '${Package} ${Architecture} ${Version}\n'; } | awk '
			$1 == "-" { installed = 1; next }
			installed { is[$1 ":" $2] = $3; next }
			NF { wanted[$1 ":" $2] = $3 }
			END {
				for (name in wanted) {
					if (name in is && is[name] == wanted[name]) continue
					found = (name in is) ? "has the version " is[name] : "is not installed"
					print name " " found ", and `+LockFile+` records " wanted[name]
					different++
				}
				if (different) {
					print "if this state of Debian is meant, record it: go run ./cmd/mikrotik-tailscale lock"
					exit 1
				}
			}' >&2`, strings.Join(p.Locked, "\n"))
}

// DebianArchive is the address of Debian's own archive.
const DebianArchive = "http://deb.debian.org/debian"

// SnapshotArchive is the address of the archive at the time DebianSnapshot. Plain HTTP is enough, since what comes is
// signed, and a Debian system without certificates can't speak TLS.
const SnapshotArchive = "http://snapshot.debian.org/archive/debian/" + DebianSnapshot

// Where packages came from, as OriginFile has it and the provenance tells it.
const (
	OriginSnapshot = "Debian snapshot " + DebianSnapshot
	OriginArchive  = "Debian's archive, since the snapshot " + DebianSnapshot + " could not be reached"
	OriginMirror   = "the configured Debian mirror"
)

// OriginFile is a file in every Debian root that says where its packages came from.
const OriginFile = "/etc/debian-origin"
