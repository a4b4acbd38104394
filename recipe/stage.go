// Package recipe describes every stage of the build as data: the root filesystem that it starts from, its packages,
// environment, steps and output. Its functions are pure. The Dagger module and package local run the stages. Package
// local needs no container engine.
package recipe

import "io/fs"

// Base is the root filesystem that a stage starts from.
type Base string

const (
	// BaseDebian is a minimal Debian system of DebianSuite.
	BaseDebian Base = "debian"
	// BaseGo is the same with Go in /usr/local/go.
	BaseGo Base = "go"
)

// The paths in a stage's container or sandbox.
const (
	// BuildDir is the empty directory in which a stage's steps start.
	BuildDir = "/build"
	// InDir has a stage's files and inputs.
	InDir = "/in"
	// OutDir is where a stage writes its output.
	OutDir = "/out"
	// NotesFile is where a step writes lines for the user.
	NotesFile = OutDir + "/notes"
	// GoModCache and GoBuildCache are kept between Go stages. They make a stage faster, but never change its output.
	GoModCache   = "/go/pkg/mod"
	GoBuildCache = "/go/build-cache"
)

// Stage is one unit of the build. It is self-contained: equal stages have equal outputs.
type Stage struct {
	// Name describes the output, for progress and errors.
	Name string
	// Platform is the platform's name. It is empty if the stage is the same for all platforms.
	Platform string
	Base     Base
	// Packages are the Debian packages to install first, from DebianSuite.
	Packages Packages
	Env      []Variable
	Files    []File
	Inputs   []Input
	// Network is true if steps download something.
	Network bool
	// Steps are commands with their arguments, run in order in BuildDir.
	Steps [][]string
	// Output is the name of the stage's one output file in OutDir.
	Output string
}

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// File is a small text that a stage reads as InDir/Name. A slash in the name creates directories.
type File struct{ Name, Content string }

// Input is the output of another stage, which a stage reads as InDir/Name. If Stage is nil, the runner of the stage
// provides the file.
type Input struct {
	Name  string
	Stage *Stage
}

// Title returns the stage's name for users, with its platform if it has one.
func (s Stage) Title() string {
	if s.Platform == "" {
		return s.Name
	}
	return s.Name + " " + s.Platform
}

// embedded returns the embedded files below a directory, with a prefix before their paths.
func embedded(files fs.FS, directory, prefix string) []File {
	var all []File
	below, err := fs.Sub(files, directory)
	if err == nil {
		err = fs.WalkDir(below, ".", func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			content, err := fs.ReadFile(below, path)
			all = append(all, File{Name: prefix + path, Content: string(content)})
			return err
		})
	}
	if err != nil {
		panic(err) // reading embedded files never fails
	}
	return all
}

// shell returns a step that runs a shell script, for redirection or loops. Values are passed as arguments, never
// inserted into the script.
func shell(script string, args ...string) []string {
	return append([]string{"sh", "-euc", script, "sh"}, args...)
}

// Installed returns the stage that lists the installed Debian packages of another stage. The first line of its output
// has their origin, and each other line has name, architecture and version.
func Installed(s Stage) Stage {
	return Stage{
		Name: "packages", Platform: s.Platform, Base: s.Base, Packages: s.Packages,
		Steps: [][]string{shell(`
			cat "$1" >"$2"
			dpkg-query -W -f '${Package} ${Architecture} ${Version}\n' | LC_ALL=C sort >>"$2"`, OriginFile, OutDir+"/packages")},
		Output: "packages",
	}
}
