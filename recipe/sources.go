package recipe

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// CorrespondingSource returns the stage that packs the corresponding source of the image's C programs into one
// archive: the exact sources of busybox, musl and the unpacking code, busybox's configuration, and for each platform
// a script with the steps of the build. Publishing an image distributes busybox, and its license requires the source.
//
// The scripts are generated from the stages themselves, so they can't lack a step or a change to the sources.
func CorrespondingSource(targets []platform.Target, c Config) Stage {
	name := Title + "-" + c.ImageVersion() + "-sources"
	a := sourceArchive{files: map[string]string{}, downloads: map[string]Stage{}}
	for _, t := range targets {
		a.files["rebuild-"+t.Name+".sh"] = a.script(t, PackedBusybox(t, c))
	}
	a.files["packages.lock"] = packagesLock
	a.files["README.txt"] = a.readme(targets, c)
	s := Stage{Name: "sources", Base: BaseDebian, Packages: tools.packages(), Output: name + ".tar.gz"}
	for _, path := range slices.Sorted(maps.Keys(a.files)) {
		s.Files = append(s.Files, File{Name: name + "/" + path, Content: a.files[path]})
	}
	s.Steps = [][]string{{"cp", "-R", InDir + "/" + name, name}, {"mkdir", name + "/" + sourcesDir}}
	for _, output := range slices.Sorted(maps.Keys(a.downloads)) {
		stage := a.downloads[output]
		s.Inputs = append(s.Inputs, Input{Name: output, Stage: &stage})
		s.Steps = append(s.Steps, []string{"cp", InDir + "/" + output, name + "/" + sourcesDir + "/" + output})
	}
	s.Steps = append(s.Steps, shell(`
		tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf sources.tar "$1"
		gzip -9n <sources.tar >"$2"`, name, OutDir+"/"+s.Output))
	return s
}

// sourcesDir is the directory of the downloaded sources in the archive.
const sourcesDir = "sources"

// sourceArchive collects everything that is needed to run stages by hand.
type sourceArchive struct {
	// files are texts by their path in the archive.
	files map[string]string
	// downloads are the stages that download sources, by their output.
	downloads map[string]Stage
}

// scriptHead is the beginning of a script. %[1]s is the platform, and %[2]s are Debian packages.
const scriptHead = `#!/bin/sh
# Rebuilds the busybox of the image for %[1]s. README.txt says where to run this.
# Debian packages: %[2]s
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${CLEAN_ENVIRONMENT:-}" ]; then
	exec env -i CLEAN_ENVIRONMENT=yes PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 sh "$0"
fi
for directory in ` + BuildDir + ` ` + InDir + ` ` + OutDir + `; do
	mkdir -p "$directory"
	if [ -n "$(ls -A "$directory")" ]; then
		echo "$directory is not empty: run this in a new container" >&2
		exit 1
	fi
done
begin() {
	echo "== $1"
	find ` + BuildDir + ` ` + InDir + ` ` + OutDir + ` -mindepth 1 -delete
	mkdir -p "$2"
	cd ` + BuildDir + `
}
`

// script returns the script that runs a stage and its inputs for a target.
func (a *sourceArchive) script(t platform.Target, last Stage) string {
	var b strings.Builder
	packages := map[string]bool{}
	written := map[string]bool{}
	var add func(s Stage)
	add = func(s Stage) {
		for _, in := range s.Inputs {
			switch {
			case in.Stage.Network:
				a.downloads[in.Stage.Output] = *in.Stage
			case !written[in.Stage.Name]:
				add(*in.Stage)
			}
		}
		written[s.Name] = true
		for _, p := range s.Packages.Names {
			packages[p] = true
		}
		a.write(&b, t, s)
	}
	add(last)
	head := fmt.Sprintf(scriptHead, t.Platform(), strings.Join(slices.Sorted(maps.Keys(packages)), " "))
	return head + b.String() + fmt.Sprintf("\nsha256sum \"%s/%s\"\n", resultDir(t, last), last.Output)
}

// write writes the commands of one stage. The stage's files are in a directory of the archive that all platforms
// share.
func (a *sourceArchive) write(b *strings.Builder, t platform.Target, s Stage) {
	line := func(format string, args ...any) { b.WriteString(fmt.Sprintf(format, args...) + "\n") }
	line("\nbegin %s \"%s\"", quoted(s.Title()), resultDir(t, s))
	for _, f := range s.Files {
		path := dashed(s.Name) + "/" + f.Name
		a.files[path] = f.Content
		line(`cp "$here/%s" %s`, path, InDir+"/"+f.Name)
	}
	for _, in := range s.Inputs {
		from := "$here/" + sourcesDir
		if !in.Stage.Network {
			from = resultDir(t, *in.Stage)
		}
		line(`cp "%s/%s" %s`, from, in.Stage.Output, InDir+"/"+in.Name)
	}
	line("(")
	for _, v := range s.Env {
		line("export %s=%s", v.Name, quoted(v.Value))
	}
	for _, step := range s.Steps {
		words := make([]string, len(step))
		for i, word := range step {
			words[i] = quoted(word)
		}
		line("%s", strings.Join(words, " "))
	}
	line(")")
	line(`cp %s "%s/"`, OutDir+"/"+s.Output, resultDir(t, s))
}

// resultDir returns the directory in which a script keeps the output of a stage.
func resultDir(t platform.Target, s Stage) string {
	return "$here/rebuilt/" + t.Name + "/" + dashed(s.Name)
}

func dashed(name string) string { return strings.ReplaceAll(name, " ", "-") }

// plainWord matches words that need no quotes in a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quoted returns a word in the form that a shell reads.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// readme returns the text that says what the archive is and how to use it.
func (a *sourceArchive) readme(targets []platform.Target, c Config) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(fmt.Sprintf(format, args...) + "\n") }
	line("Corresponding source of the C programs in the image %s %s", Title, c.ImageVersion())
	line("")
	for _, s := range []struct{ stage, what, checksum string }{
		{BusyboxSource(c).Output, "busybox " + c.BusyboxVersion + ", GPL-2.0-only", "sha256 " + c.BusyboxChecksum},
		{MuslSource().Output, "musl " + MuslVersion + ", MIT", "sha256 " + MuslChecksum},
		{SevenZipSource().Output, "7-Zip " + SevenZipVersion + ", LZMA code in the public domain", "sha256 of the .tar.xz " + SevenZipChecksum},
	} {
		if _, used := a.downloads[s.stage]; used {
			line("%s/%s: %s", sourcesDir, s.stage, s.what)
			line("  %s", s.checksum)
		}
	}
	line(`
rebuild-PLATFORM.sh contains every command that built busybox for the platform, with all changes to the sources.
The directories beside it have the configuration and the launcher that unpacks the program. packages.lock has the
versions of all Debian packages of the build machine.

To rebuild /bin/busybox of an image, run the script as root in a new container or chroot of Debian %s, on an amd64
or arm64 machine, with the packages that the head of the script names. For the same bytes, take them from Debian's
snapshot:

  echo 'deb [check-valid-until=no] %s %s main' >/etc/apt/sources.list
  rm -f /etc/apt/sources.list.d/*
  apt-get update && apt-get install --no-install-recommends --allow-downgrades PACKAGES
  sh rebuild-%s.sh

The script ends with the sha256 of the file, which is the one in the image's SBOM. It needs no network.

gcc links parts of its own library into the programs, under the GCC Runtime Library Exception. The Tailscale program
is licensed under BSD-3-Clause, and the sources of its Go modules are available from the Go module proxy under the
versions in the SBOM.`, DebianSuite, SnapshotArchive, DebianSuite, targets[0].Name)
	if c.Compression == CompressionUPX {
		line("\nUPX %s packed the programs. Its source is Debian's source package upx-ucl.", UPXVersion)
	}
	return b.String()
}
