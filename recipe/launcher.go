package recipe

import (
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/shrink/launcher"
)

// SevenZipSource returns the stage that downloads 7-Zip's source from Debian and verifies its sha256.
func SevenZipSource() Stage {
	s := Stage{
		Name: "7zip-source", Base: BaseDebian, Packages: tools.packages(), Network: true,
		Output: "7zip.tar",
	}
	packed := s.Output + ".xz"
	s.Steps = [][]string{
		download(packed, "7-Zip "+SevenZipVersion, SevenZipChecksum, "", "",
			"pool/main/7/7zip/7zip_"+SevenZipVersion+".orig.tar.xz"),
		// apt can read all kinds of packages, so no other tool is needed.
		shell(`/usr/lib/apt/apt-helper cat-file "$1" >"$2"`, packed, OutDir+"/"+s.Output),
	}
	return s
}

// Packer returns the stage that compiles the packer. It is the same for all targets.
func Packer() Stage {
	source := SevenZipSource()
	s := Stage{
		Name: "packer", Base: BaseDebian, Packages: compilers.packages(),
		Files:  embedded(launcher.Source, "src", ""),
		Inputs: []Input{{Name: source.Output, Stage: &source}},
		Output: "pack",
	}
	s.Steps = [][]string{
		{"tar", "-xf", InDir + "/" + source.Output, "C"},
		append(append([]string{"gcc", "-O2"}, Warnings()...), "-IC", "-DZ7_ST", oneCRCTable, "-o", OutDir+"/"+s.Output, InDir+"/pack.c",
			"C/LzmaDec.c", "C/LzmaEnc.c", "C/LzFind.c", "C/Bra.c", "C/Bra86.c", "C/Alloc.c", "C/7zCrc.c", "C/CpuArch.c"),
	}
	return s
}

// withLauncher completes the stage s, which packs the program at the path program. The output is a static program for
// the target that contains the packed program, unpacks it into memory and executes it. The unpacked file has the
// given name.
func withLauncher(s Stage, t platform.Target, c Config, program, name string) Stage {
	source, packer := SevenZipSource(), Packer()
	c.Applets = Default().Applets // other applets need more of the C library, but the launcher doesn't
	s = withMusl(s, t, c)
	s.Inputs = append(s.Inputs, Input{Name: source.Output, Stage: &source}, Input{Name: packer.Output, Stage: &packer})
	s.Files = embedded(launcher.Source, "src", "")
	optimise := "-Os"
	if t.Architecture == "arm" {
		optimise = "-O2" // faster, and on these platforms also smaller
	}
	cflags := append(append(muslFlags(t), Warnings()...), optimise, "-ffunction-sections", "-fdata-sections",
		"-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-DZ7_LZMA_SIZE_OPT", "-DZ7_EXTRACT_ONLY")
	s.Steps = append(s.Steps,
		[]string{"tar", "-xf", InDir + "/" + source.Output, "C"},
		[]string{"install", "-m", "755", InDir + "/" + packer.Output, "."}, // an input may not be executable
		[]string{"./" + packer.Output, program, "payload", "filters.h"},
		shell(`
			compiler=$1 name=$2 in=$3 out=$4
			shift 4
			build=$(sha256sum payload | cut -c 1-16)
			"$compiler" "$@" "-DPROGRAM=\"$name\"" "-DBUILD=\"$build\"" -IC -I. -static -o launcher \
				"$in/launcher.c" "$in/payload.S" C/LzmaDec.c C/Bra.c C/Bra86.c C/7zCrc.c \
				-Wl,--gc-sections -Wl,-z,norelro -Wl,-z,noseparate-code -Wl,-z,common-page-size=16 -Wl,-z,nosectionheader -Wl,--build-id=none -s
			cp launcher "$out"`,
			append([]string{muslCompiler, name, InDir, OutDir + "/" + s.Output}, append(cflags, oneCRCTable)...)...),
	)
	return s
}

// oneCRCTable selects 7-Zip's smallest code for computing a checksum.
const oneCRCTable = "-DZ7_CRC_NUM_TABLES=1"

// Warnings are gcc's options for the C code of this project: it compiles without a warning.
func Warnings() []string { return []string{"-Wall", "-Wextra", "-Werror"} }
