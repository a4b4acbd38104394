package recipe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/daemon"
	"dagger/mikrotik-tailscale/daemon/idle"
)

// sourceDir is the directory of Tailscale's source in a stage, relative to BuildDir.
const sourceDir = "tailscale"

// Tailscale returns the stage that compiles the daemon and the CLI into one binary, with only the resolved features.
//
// Inlining is off (-l) except for some packages, because it costs a tenth of the compressed size. Symbols are left
// out (-s -w). Without the version stamps, the binary would report an erroneous build. The revision is not part of
// them, so a new revision compiles nothing.
func (p Plan) Tailscale() Stage {
	t, c, r := p.Target, p.Config, p.Resolved
	s := goStage("tailscale", c, p.toolchain())
	s.Platform = t.Name
	s.Env = append(s.Env,
		Variable{"GOOS", t.OS}, Variable{"GOARCH", t.Architecture},
		Variable{"GOAMD64", "v1"}, Variable{"GOARM64", "v8.0"})
	if t.GOARM != "" {
		s.Env = append(s.Env, Variable{"GOARM", t.GOARM})
	}
	s.Files = []File{
		{Name: "logfilter.go", Content: daemon.LogFilter}, {Name: "memory.go", Content: daemon.Memory}, {Name: "idle/idle.go", Content: idle.Source},
		{Name: "processname.go", Content: daemon.ProcessName}}
	s.Output = "tailscaled"
	tags, stamps := r.Tags, ""
	if supervised(r) {
		addSupervisor(&s)
		tags += "," + supervisedTag
		stamps = " -X main.supervisedFeatures=" + strings.Join(r.Features, ",")
	}
	if !r.Has("netstack") {
		addMagicDNS(&s, c)
	}
	if c.Certificates == CertificatesBuiltIn {
		p.builtInRoots(&s)
		tags += "," + builtInRootsTag
	}
	s.Steps = append(s.Steps, copyModules(t.Architecture))
	addFasterPackets(&s, t.Architecture)
	leaveOutUncalled(&s)
	build := []string{"go", "-C", sourceDir, "build"}
	withInlining := inlined
	if !c.StockRuntime {
		s.Steps = append(s.Steps, changedGo(p.changedFiles()), inlineInRuntime())
		build = append(withOverlay(), "-C", sourceDir, "build", "-overlay", overlay)
		withInlining = append(slices.Clone(withInlining), "runtime")
	}
	build = append(build, "-buildvcs=false", "-tags", tags, "-gcflags", "all=-l "+NoDebug)
	for _, name := range withInlining {
		build = append(build, "-gcflags", name+"="+NoDebug)
	}
	link := "-s -w"
	if t.Architecture == "amd64" {
		// The linker's default is 32 bytes, so that benchmarks vary less. 16 bytes are enough for the processor, and save
		// 190 kB of the router's memory.
		link += " -funcalign=16"
	}
	s.Steps = append(s.Steps,
		[]string{"cp", InDir + "/logfilter.go", sourceDir + "/cmd/tailscaled/verbosity_filter.go"},
		[]string{"cp", InDir + "/memory.go", sourceDir + "/cmd/tailscaled/memory.go"},
		[]string{"cp", "-R", InDir + "/idle", sourceDir + "/cmd/tailscaled/"},
		[]string{"cp", InDir + "/processname.go", sourceDir + "/cmd/tailscaled/process_name.go"},
		append(slices.Concat(withoutUncalled(), oneThread(), build), "-ldflags", fmt.Sprintf("%s -X tailscale.com/version.shortStamp=%s -X tailscale.com/version.longStamp=%s",
			link, c.TailscaleVersion, c.TailscaleVersion+"-mt")+stamps,
			"-o", OutDir+"/"+s.Output, "./cmd/tailscaled"))
	return s
}

// oneThread begins a call of the go command that compiles many packages. With one or two processors, compilers run in one
// thread each, and as many run at the same time as before. Together they take a tenth less processor time.
func oneThread() []string {
	return shell(`
		processors=$(nproc)
		if [ "$processors" -le 2 ]; then
			export GOMAXPROCS=1 GOFLAGS="$GOFLAGS -p=$processors"
		fi
		exec "$@"`)
}

// goStage returns the beginning of a stage with Tailscale's source from the Go module proxy, verified by the checksum
// database. The module cache is read-only, so the stage works on a copy.
func goStage(name string, c Config, goToolchain string) Stage {
	module := "tailscale.com@v" + c.TailscaleVersion
	return Stage{
		Name: name, Base: BaseGo, Packages: tools.packages(), Network: true,
		Env: goEnv(goToolchain),
		Steps: [][]string{
			// If the module requires a later Go release, the go command still verifies and unpacks it, and then
			// returns an error. Only inside of the module does it switch to the required release; here it would
			// switch to the latest.
			shell(`export GOTOOLCHAIN="${GOTOOLCHAIN%+auto}"
				go mod download "$2" 2>download.log || [ -f "$1/$2/go.mod" ] || { cat download.log >&2; exit 1; }`, GoModCache, module),
			{"cp", "-R", "--no-preserve=mode", GoModCache + "/" + module, sourceDir},
		},
	}
}

// toolchain returns the go command's name for a Go release.
func toolchain(version string) string { return "go" + version }

// toolchain returns the Go release that compiles Tailscale and the tools of the build. With one release, a build downloads
// one toolchain and compiles Go's library for this machine once.
func (p Plan) toolchain() string {
	return toolchain(cmp.Or(p.Config.GoVersion, p.Resolved.Go, GoVersion))
}

// NoDebug is the compiler's option to leave out debug information, which the linker would drop. It takes a tenth of the
// compiler's time.
const NoDebug = "-dwarf=false"

// goEnv returns the environment of every go command.
func goEnv(goToolchain string) []Variable {
	env := []Variable{
		{"CGO_ENABLED", "0"},
		{"GOENV", "off"},
		{"GOTOOLCHAIN", goToolchain},
		{"GOFLAGS", "-mod=readonly -trimpath -gcflags=all=" + NoDebug},
	}
	env = append(env, CompilerMemory()...)
	return append(env, Variable{"GOMODCACHE", GoModCache}, Variable{"GOCACHE", GoBuildCache})
}

// CompilerMemory returns the environment of compilers and linkers. They run briefly, so they only collect garbage if they
// use a lot of memory.
func CompilerMemory() []Variable {
	return []Variable{{"GOGC", "off"}, {"GOMEMLIMIT", "512MiB"}}
}

// toolEnv returns the environment of go commands that compile a program and run it once. Without inlining, compilers take a
// fifth less time.
func toolEnv(goToolchain string) []Variable {
	env := goEnv(goToolchain)
	for i, v := range env {
		if v.Name == "GOFLAGS" {
			env[i].Value = strings.Replace(v.Value, "-gcflags=all="+NoDebug, "'-gcflags=all=-l "+NoDebug+"'", 1)
		}
	}
	return env
}

// toolStage returns a stage that runs a program of this project on the output of another stage. The program is in a
// directory of the sources, and only needs Go's own library.
func toolStage(name, goToolchain string, sources []File, directory string, input Stage, output string, flags ...string) Stage {
	return Stage{
		Name: name, Base: BaseGo, Packages: tools.packages(),
		Env:    toolEnv(goToolchain),
		Files:  append(sources, goMod()),
		Inputs: []Input{{Name: input.Output, Stage: &input}},
		Steps: [][]string{slices.Concat(oneThread(), []string{"go", "-C", InDir, "run", "./" + directory}, flags,
			[]string{InDir + "/" + input.Output, OutDir + "/" + output})},
		Output: output,
	}
}
