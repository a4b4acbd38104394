package recipe

import (
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// BusyboxSource returns the stage that downloads a busybox release and verifies its sha256. The project's own site is
// often down. Debian's archive has the same file.
func BusyboxSource(c Config) Stage {
	s := Stage{
		Name: "busybox-source", Base: BaseDebian, Packages: tools.packages(), Network: true,
		Output: "busybox.tar.bz2",
	}
	s.Steps = [][]string{download(OutDir+"/"+s.Output, "busybox "+c.BusyboxVersion, c.BusyboxChecksum, BusyboxURLVariable,
		"https://busybox.net/downloads/busybox-"+c.BusyboxVersion+".tar.bz2", "pool/main/b/busybox/busybox_"+c.BusyboxVersion+".orig.tar.bz2")}
	return s
}

// ConfiguredBusybox returns the stage that unpacks and configures busybox's source and compiles its build tools. It is the
// same for all targets.
func ConfiguredBusybox(c Config) Stage {
	source := BusyboxSource(c)
	s := Stage{
		Name: "busybox-configured", Base: BaseDebian, Packages: compilers.packages(),
		// Otherwise busybox's version contains the time of the build.
		Env:    []Variable{{"KCONFIG_NOTIMESTAMP", "1"}},
		Files:  []File{{Name: "busybox.config", Content: c.Applets.Config()}},
		Inputs: []Input{{Name: source.Output, Stage: &source}},
		Output: "busybox.tar",
	}
	s.Steps = [][]string{
		{"mkdir", busyboxDir},
		{"tar", "-xf", InDir + "/" + source.Output, "-C", busyboxDir, "--strip-components=1"},
		// The launcher executes busybox from a file in memory, so the kernel doesn't know the applet's name. busybox
		// has a function to set it, but only calls it in configurations that this image doesn't use.
		{"sed", "-i", `s/^\trun_applet_and_exit(applet_name, argv);$/\tset_task_comm(applet_name);\n&/`, busyboxDir + "/libbb/appletlib.c"},
		// busybox's allnoconfig also turns off given options. So the configuration lists every other option as off,
		// and oldconfig only asks for the values of options that are off.
		shell(`
			cd "$1"
			make -s allnoconfig >log
			: >scripts/gen_build_files.sh # each call of make would write the same files again
			find . -name Config.in -exec sed -n 's/^[[:space:]]*config \([A-Z0-9a-z_]*\)$/CONFIG_\1/p' {} + | sort -u |
				awk -F= 'NR == FNR { wanted[$1]; print; next } !($1 in wanted) { print "# " $1 " is not set" }' "$2" - >.config
			yes "" | make -s oldconfig >log
			if grep -vxFf .config "$2" >missing; then
				echo "busybox does not accept these options:" >&2
				cat missing >&2
				exit 1
			fi`, busyboxDir, InDir+"/busybox.config"),
		// All files get the same time, so make does none of this again.
		shell(`
			make -s -C "$1" prepare scripts
			tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$2" "$1"`, busyboxDir, OutDir+"/"+s.Output),
	}
	return s
}

// busyboxDir is the directory of busybox's source, relative to BuildDir.
const busyboxDir = "busybox"

// Busybox returns the stage that compiles busybox with its applets into one static binary with musl. It
// cross-compiles on the machine's own architecture.
func Busybox(t platform.Target, c Config) Stage {
	configured := ConfiguredBusybox(c)
	s := withMusl(Stage{
		Name: "busybox", Platform: t.Name, Base: BaseDebian,
		Env:    configured.Env,
		Inputs: []Input{{Name: configured.Output, Stage: &configured}},
		Output: "busybox",
	}, t, c)
	cflags := muslFlags(t) // busybox's own Makefile already optimizes for size
	s.Steps = append(s.Steps,
		[]string{"tar", "-xf", InDir + "/" + configured.Output},
		shell(`
			cd "$1"
			make -s -j"$(nproc)" busybox "CROSS_COMPILE=$2-" "CC=$3" "CONFIG_EXTRA_CFLAGS=$4" "CONFIG_EXTRA_LDFLAGS=-no-pie"
			cp busybox "$5"`,
			busyboxDir, t.Triple, muslCompiler, strings.Join(cflags, " "), OutDir+"/"+s.Output),
	)
	return s
}

// PackedBusybox returns the stage that packs busybox for the image.
func PackedBusybox(t platform.Target, c Config) Stage {
	linked := Busybox(t, c)
	return Compress(t, c, &linked)
}
