package recipe

import (
	_ "embed"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// MuslSource returns the stage that downloads musl's release from Debian and verifies its sha256.
func MuslSource() Stage {
	s := Stage{
		Name: "musl-source", Base: BaseDebian, Packages: tools.packages(), Network: true,
		Output: "musl.tar.gz",
	}
	s.Steps = [][]string{download(OutDir+"/"+s.Output, "musl "+MuslVersion, MuslChecksum, "", "",
		"pool/main/m/musl/musl_"+MuslVersion+".orig.tar.gz")}
	return s
}

// muslDir is where the C library is installed. Its compiler contains the path.
const muslDir = BuildDir + "/musl"

// muslCompiler is the platform's compiler, set up to link with musl.
const muslCompiler = muslDir + "/bin/musl-gcc"

// muslNeeded names the source files of the C library that the launcher or any applet of BusyboxVersion needs. Compiling
// only this third saves a tenth of the time of a build. The second part has the files that neither the launcher nor the
// default applets need. If a file is missing, the linker names a missing function.
//
//go:embed musl.needed
var muslNeeded string

// neededFiles returns the names of the C library's source files that are needed for a configuration. It returns false for
// another release of busybox, because it isn't known what it needs.
func neededFiles(c Config) (names string, known bool) {
	first, others, _ := strings.Cut(muslNeeded, "\n# other applets\n")
	if slices.Equal(c.Applets.Names(), Default().Applets.Names()) {
		others = ""
	}
	return first + others, c.BusyboxVersion == BusyboxVersion
}

// Musl returns the stage that compiles the C library for the target. Debian has a package for each architecture, but
// using them would require the package lists of all architectures.
func Musl(t platform.Target, c Config) Stage {
	source := MuslSource()
	s := Stage{
		Name: "musl", Platform: t.Name, Base: BaseDebian, Packages: compilers.packages(),
		Inputs: []Input{{Name: source.Output, Stage: &source}},
		Output: "musl.tar",
	}
	s.Steps = [][]string{{"tar", "-xf", InDir + "/" + source.Output, "--strip-components=1"}}
	if names, known := neededFiles(c); known {
		s.Files = []File{{Name: "needed", Content: names}}
		s.Steps = append(s.Steps, shell(`
			find src compat -name '*.[csS]' | awk -F / '
				NR == FNR { needed[$1]; next }
				{ name = $NF; sub(/\.[csS]$/, "", name) }
				!(name in needed)' "$1" - | xargs rm`, InDir+"/needed"))
	}
	s.Steps = append(s.Steps,
		shell(`
			./configure "--target=$1" "--prefix=$2" --disable-shared --enable-wrapper=gcc "CFLAGS=$3" >log
			make -s -j"$(nproc)"
			make -s install INSTALL=install # musl's own is a script that starts several programs for each file
			tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$4" "${2##*/}"`,
			t.Triple, muslDir, strings.Join(t.CFlags, " "), OutDir+"/"+s.Output))
	return s
}

// withMusl adds the compiler that builds static programs for the target to a stage. It replaces the stage's packages.
func withMusl(s Stage, t platform.Target, c Config) Stage {
	musl := Musl(t, c)
	s.Packages = compilers.packages()
	s.Inputs = append(s.Inputs, Input{Name: musl.Output, Stage: &musl})
	s.Steps = append(s.Steps, []string{"tar", "-xf", InDir + "/" + musl.Output})
	return s
}

// muslFlags returns the flags with which the target's compiler builds a static program with musl.
func muslFlags(t platform.Target) []string {
	return append([]string{
		"-fno-pie", "-no-pie",
		// musl has no kernel headers. The cross compiler's headers come last, after musl's own.
		"-idirafter", "/usr/" + t.Triple + "/include",
	}, t.CFlags...)
}
