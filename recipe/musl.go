package recipe

import (
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

// Musl returns the stage that compiles the C library for the target. Debian has a package for each architecture, but
// using them would require the package lists of all architectures.
func Musl(t platform.Target) Stage {
	source := MuslSource()
	s := Stage{
		Name: "musl", Platform: t.Name, Base: BaseDebian, Packages: compilers(t).packages(),
		Inputs: []Input{{Name: source.Output, Stage: &source}},
		Output: "musl.tar",
	}
	s.Steps = [][]string{
		{"tar", "-xf", InDir + "/" + source.Output, "--strip-components=1"},
		shell(`
			./configure "--target=$1" "--prefix=$2" --disable-shared --enable-wrapper=gcc "CFLAGS=$3" >log
			make -s -j"$(nproc)"
			make -s install
			tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$4" "${2##*/}"`,
			t.Triple, muslDir, strings.Join(t.CFlags, " "), OutDir+"/"+s.Output),
	}
	return s
}

// withMusl adds the compiler that builds static programs for the target to a stage. It replaces the stage's packages.
func withMusl(s Stage, t platform.Target) Stage {
	musl := Musl(t)
	s.Packages = compilers(t).packages()
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
