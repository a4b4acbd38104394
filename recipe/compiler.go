package recipe

import (
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// compilerPackages are installed wherever C is compiled for a target, the same for every such
// stage, so that they share one root file system.
func compilerPackages(t platform.Target) []string {
	return []string{
		"bzip2", "gcc", "libc6-dev", "make", // gcc and libc6-dev are for the build's own tools
		"gcc-" + strings.ReplaceAll(t.Triple, "_", "-"),
		"linux-libc-dev-" + t.Debian + "-cross",
	}
}

// MuslSource is the stage that downloads musl's release, as Debian has it, and checks it against its
// sha256.
func MuslSource() Stage {
	s := Stage{
		Name: "musl-source", Base: BaseDebian, Packages: toolPackages, Network: true,
		Output: "musl.tar.gz",
	}
	s.Steps = [][]string{download(OutDir+"/"+s.Output, "musl "+MuslVersion, MuslChecksum, "",
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
		Name: "musl", Platform: t.Name, Base: BaseDebian, Packages: compilerPackages(t),
		Inputs: []Input{{Name: source.Output, Stage: &source}},
		Output: "musl.tar",
	}
	s.Steps = [][]string{
		{"tar", "-xf", InDir + "/" + source.Output, "--strip-components=1"},
		shell(`
			./configure "--target=$1" "--prefix=$2" --disable-shared --enable-wrapper=gcc "CFLAGS=$3" >log
			make -s -j"$(nproc)"
			make -s install
			tar -cf "$4" "${2##*/}"`,
			t.Triple, muslDir, strings.Join(t.CFlags, " "), OutDir+"/"+s.Output),
	}
	return s
}

// withMusl gives a stage the compiler that makes static programs for the target. It takes the place
// of the stage's packages.
func withMusl(s Stage, t platform.Target) Stage {
	musl := Musl(t)
	s.Packages = compilerPackages(t)
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

// download is the step that gets a release's source and checks its sha256: from its own place where
// there is one, and from the Debian archive, whose pool is the second place.
func download(file, release, checksum, first, pool string) []string {
	// apt's own downloader checks the sum, and knows the Debian mirror in use.
	return shell(`
		sum=$1 file=$2 release=$3 first=$4 pool=$5
		archive=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
		for url in $first "$archive/$pool"; do
			/usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=1 \
				-o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
				download-file "$url" "$file" "SHA256:$sum" && exit 0
			rm -f "$file"
			tried="${tried:+$tried or }$url"
		done
		echo "$release with the sha256 $sum is not to be had from $tried" >&2
		exit 1`,
		checksum, file, release, first, pool)
}
