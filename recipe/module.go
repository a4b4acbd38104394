package recipe

import (
	"fmt"
	"io/fs"
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
	return Stage{
		Name: name, Base: BaseGo, Packages: tools.packages(), Network: true,
		Env:    goEnv(toolchain(GoVersion)),
		Files:  append(sources, goMod(modules...)),
		Steps:  append([][]string{{"cp", "-R", "--no-preserve=mode", InDir + "/.", ModuleDir}}, steps...),
		Output: output,
	}
}

// goMod returns the go.mod of this project's code in a stage.
func goMod(modules ...Module) File {
	text := "module " + moduleName + "\n\ngo 1.26\n"
	for i, m := range modules {
		if i == 0 {
			text += "\n"
		}
		text += fmt.Sprintf("require %s %s\n", m.Path, m.Version)
	}
	return File{Name: "go.mod", Content: text}
}

// Sources returns the embedded files of a package for a stage, in the package's directory.
func Sources(files fs.FS, directory string) []File { return embedded(files, ".", directory+"/") }
