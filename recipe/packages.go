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
	// Set is the name of the set.
	Set string
	// Base are packages to install first, which other sets need as well. It may be nil.
	Base *Packages `json:",omitempty"`
	// Names are the packages that a stage asks for.
	Names []string
	// Locked are all packages that this installs, each as a line with name, architecture and version. It is empty on
	// a machine whose architecture is not in the lock file.
	Locked []string
}

// packagesLock records the versions of packages. For each architecture of build machines and each set, it has a line
// with both in brackets, followed by the packages. The command lock writes it.
//
//go:embed packages.lock
var packagesLock string

// LockFile is the path of the lock file in the sources.
const LockFile = "recipe/packages.lock"

// Machines are the architectures of build machines in the lock file, by Go's and Debian's name.
var Machines = []string{"amd64", "arm64"}

// PackageSet is a set of packages that some stages ask for, with its name in the lock file.
type PackageSet struct {
	Name     string
	Packages []string
	// Base is a set whose packages are all in this set. It may be nil.
	Base *PackageSet
}

// tools are installed for stages that need no compiler. All these stages use the same set, so that they share one
// root filesystem. It is small, so that the longest stages start early.
var tools = PackageSet{Name: "tools", Packages: []string{"ca-certificates", "upx-ucl"}}

// compilers are installed for stages that compile C. All these stages share one root filesystem with the compilers for all
// targets. One root for each target takes longer to create, and so does a root that doesn't begin with the tools.
var compilers = PackageSet{Name: "compilers", Packages: append(compilerPackages(), tools.Packages...), Base: &tools}

func compilerPackages() []string {
	names := []string{"bzip2", "gcc", "libc6-dev", "make"} // gcc and libc6-dev compile the build's own tools
	for _, t := range platform.All() {
		names = append(names, "gcc-"+strings.ReplaceAll(t.Triple, "_", "-"), "linux-libc-dev-"+t.Debian+"-cross")
	}
	return names
}

// UnusedFiles are patterns of files in packages that no stage uses. They aren't unpacked. Link-time optimization and
// sanitizers are half of each compiler.
var UnusedFiles = []string{
	"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*",
	"/usr/libexec/gcc*/lto1", "/usr/bin/*lto-dump*", "/usr/lib/gcc*/lib*san*",
}

// PackageSets returns all sets.
func PackageSets() []PackageSet { return []PackageSet{tools, compilers} }

// packages returns the set with the versions that are recorded for this machine's architecture.
func (s PackageSet) packages() Packages {
	p := Packages{Set: s.Name, Names: s.Packages, Locked: s.lockedFor(runtime.GOARCH, packagesLock)}
	if s.Base != nil {
		base := s.Base.packages()
		p.Base = &base
	}
	return p
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

// FormatLock returns the content of the lock file. versions returns the packages of a set for an architecture, in the
// form of Packages.Locked.
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

// CheckPackages returns the step that compares the installed packages with the lock file. A difference is an error
// that names both versions, and how to update the lock file. The step runs after packages were installed.
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
					print "to record this state of Debian, run: go run ./cmd/mikrotik-tailscale lock"
					exit 1
				}
			}' >&2`, strings.Join(p.Locked, "\n"))
}

// DebianArchive is the address of Debian's own archive.
const DebianArchive = "http://deb.debian.org/debian"

// SnapshotArchive is the address of the archive at the time DebianSnapshot. Plain HTTP is sufficient because packages
// are signed, and necessary because a Debian system without certificates can't use TLS.
const SnapshotArchive = "http://snapshot.debian.org/archive/debian/" + DebianSnapshot

// The origins of packages, in OriginFile and in the provenance.
const (
	OriginSnapshot = "Debian snapshot " + DebianSnapshot
	OriginArchive  = "Debian's archive, since the snapshot " + DebianSnapshot + " could not be reached"
	OriginMirror   = "the configured Debian mirror"
)

// OriginFile is a file in every Debian root with the origin of its packages.
const OriginFile = "/etc/debian-origin"
