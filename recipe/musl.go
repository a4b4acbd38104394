package recipe

import (
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// MuslSource is the stage that downloads musl's release, as Debian has it, and checks it against its
// sha256.
func MuslSource() Stage {
	s := Stage{
		Name: "musl-source", Base: BaseDebian, Packages: tools.packages(), Network: true,
		Output: "musl.tar.gz",
	}
	s.Steps = [][]string{download(OutDir+"/"+s.Output, "musl "+MuslVersion, MuslChecksum, "", "",
		"pool/main/m/musl/musl_"+MuslVersion+".orig.tar.gz")}
	return s
}

// muslDir is where the C library is installed and found again: its compiler knows the path.
const muslDir = BuildDir + "/musl"

// muslCompiler is the target's compiler, made to link with musl.
const muslCompiler = muslDir + "/bin/musl-gcc"

// Musl is the stage that compiles the C library for the target. Debian has it as a package of each
// architecture, but then a build needs the package lists of all of them.
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

// withMusl gives a stage the compiler that makes static programs for the target. It takes the place
// of the stage's packages.
func withMusl(s Stage, t platform.Target) Stage {
	musl := Musl(t)
	s.Packages = compilers(t).packages()
	s.Inputs = append(s.Inputs, Input{Name: musl.Output, Stage: &musl})
	s.Steps = append(s.Steps, []string{"tar", "-xf", InDir + "/" + musl.Output})
	return s
}

// muslFlags let the target's compiler make a static program with musl.
func muslFlags(t platform.Target) []string {
	return append([]string{
		"-fno-pie", "-no-pie",
		// musl has no kernel headers: those of the cross compiler come last, behind musl's own.
		"-idirafter", "/usr/" + t.Triple + "/include",
	}, t.CFlags...)
}
