package recipe

import (
	"fmt"
	"io/fs"
	"strings"
)

// moduleName is the name of this project's Go module, in stages that compile parts of it.
const moduleName = "dagger/mikrotik-tailscale"

// ModuleDir is the directory of the sources in a stage of ModuleStage, relative to BuildDir.
const ModuleDir = "module"

// Module is a release of a Go module.
type Module struct{ Path, Version string }

// ModuleStage returns a stage that compiles a part of this project, which imports packages of the given modules. Its
// steps run the go command with -mod=mod, so that the checksum database verifies these modules.
func ModuleStage(name string, sources []File, modules []Module, steps [][]string, output string) Stage {
	var require strings.Builder
	for _, m := range modules {
		_, _ = fmt.Fprintf(&require, "require %s %s\n", m.Path, m.Version)
	}
	return Stage{
		Name: name, Base: BaseGo, Packages: tools.packages(), Network: true,
		Env:    goEnv(toolchain(GoVersion)),
		Files:  append(sources, File{"go.mod", fmt.Sprintf("module %s\n\ngo 1.26\n\n%s", moduleName, require.String())}),
		Steps:  append([][]string{{"cp", "-R", "--no-preserve=mode", InDir + "/.", ModuleDir}}, steps...),
		Output: output,
	}
}

// Sources returns the embedded files of a package for a stage, in the package's directory.
func Sources(files fs.FS, directory string) []File { return embedded(files, ".", directory+"/") }
