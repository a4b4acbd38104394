package recipe

import (
	"cmp"
	"fmt"
	"strings"

	"dagger/mikrotik-tailscale/daemon"
)

// sourceDir is where a stage has Tailscale's source, relative to BuildDir.
const sourceDir = "tailscale"

// inlined are the packages that are compiled with inlining: the ciphers of the tailnet's packets, and what
// they call. Where they have no assembly, as on ARM, each of their steps would be a call.
var inlined = []string{
	"encoding/binary",
	"golang.org/x/crypto/blake2s",
	"golang.org/x/crypto/chacha20",
	"golang.org/x/crypto/chacha20poly1305",
	"golang.org/x/crypto/internal/alias",
	"golang.org/x/crypto/internal/poly1305",
	"internal/byteorder",
	"math/bits",
}

// Tailscale is the stage that compiles the daemon and the command line tool into one binary, with the resolved
// features only.
//
// Inlining is off (-l) but for some packages, because it costs a tenth of the compressed size, and
// symbols are left out (-s -w). Without the version stamps the binary would call itself an erroneous
// build; the revision is not among them, so that a new one compiles nothing.
func (p Plan) Tailscale() Stage {
	t, c, r := p.Target, p.Config, p.Resolved
	s := goStage("tailscale", c, toolchain(cmp.Or(c.GoVersion, r.Go, GoVersion)))
	s.Platform = t.Name
	s.Env = append(s.Env,
		Variable{"GOOS", t.OS}, Variable{"GOARCH", t.Architecture},
		Variable{"GOAMD64", "v1"}, Variable{"GOARM64", "v8.0"})
	if t.GOARM != "" {
		s.Env = append(s.Env, Variable{"GOARM", t.GOARM})
	}
	s.Files = []File{{Name: "logfilter.go", Content: daemon.LogFilter}, {Name: "processname.go", Content: daemon.ProcessName}}
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
		builtInRoots(&s, c)
		tags += "," + builtInRootsTag
	}
	build := []string{"go", "-C", sourceDir, "build"}
	if !c.StockRuntime {
		s.Steps = append(s.Steps, smallSpanSets())
		build = append(withOverlay(), "-C", sourceDir, "build", "-overlay", overlay)
	}
	build = append(build, "-trimpath", "-buildvcs=false", "-tags", tags, "-gcflags", "all=-l")
	for _, name := range inlined {
		build = append(build, "-gcflags", name+"=")
	}
	s.Steps = append(s.Steps,
		[]string{"cp", InDir + "/logfilter.go", sourceDir + "/cmd/tailscaled/verbosity_filter.go"},
		[]string{"cp", InDir + "/processname.go", sourceDir + "/cmd/tailscaled/process_name.go"},
		append(build, "-ldflags", fmt.Sprintf("-s -w -X tailscale.com/version.shortStamp=%s -X tailscale.com/version.longStamp=%s",
			c.TailscaleVersion, c.TailscaleVersion+"-mt")+stamps,
			"-o", OutDir+"/"+s.Output, "./cmd/tailscaled"))
	return s
}

// goStage starts a stage that has Tailscale's source, as the Go module proxy and the checksum
// database give it. The module cache is read-only, so the stage works on a copy.
func goStage(name string, c Config, goToolchain string) Stage {
	module := "tailscale.com@v" + c.TailscaleVersion
	return Stage{
		Name: name, Base: BaseGo, Packages: tools.packages(), Network: true,
		Env: goEnv(goToolchain),
		Steps: [][]string{
			// The go command checks and unpacks the module also if that asks for a later Go release, and then says so with
			// an error. Only within the module it changes to that very release: here it would be the latest.
			shell(`export GOTOOLCHAIN="${GOTOOLCHAIN%+auto}"
				go mod download "$2" 2>download.log || [ -f "$1/$2/go.mod" ] || { cat download.log >&2; exit 1; }`, GoModCache, module),
			{"cp", "-R", "--no-preserve=mode", GoModCache + "/" + module, sourceDir},
		},
	}
}

// toolchain is the name of a Go release for the go command.
func toolchain(version string) string { return "go" + version }

// goEnv is what the go command is told wherever it runs.
func goEnv(goToolchain string) []Variable {
	return []Variable{
		{"CGO_ENABLED", "0"},
		{"GOENV", "off"},
		{"GOTOOLCHAIN", goToolchain},
		{"GOFLAGS", "-mod=readonly"},
		{"GOMODCACHE", GoModCache},
		{"GOCACHE", GoBuildCache},
	}
}

// toolStage is a stage that runs a program of this project on the output of another stage. The program
// lies in a directory of the sources and needs nothing but Go's own library.
func toolStage(name string, c Config, sources []File, directory string, input Stage, output string) Stage {
	const module = "module " + moduleName + "\n\ngo 1.26\n"
	return Stage{
		Name: name, Base: BaseGo, Packages: tools.packages(),
		Env:    goEnv(toolchain(cmp.Or(c.GoVersion, GoVersion))),
		Files:  append(sources, File{Name: "go.mod", Content: module}),
		Inputs: []Input{{Name: input.Output, Stage: &input}},
		Steps: [][]string{{"go", "-C", InDir, "run", "-trimpath", "./" + directory,
			InDir + "/" + input.Output, OutDir + "/" + output}},
		Output: output,
	}
}
