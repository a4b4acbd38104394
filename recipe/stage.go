// Package recipe holds every stage of the build as data: what it starts from, which packages it
// needs, its environment, its steps and what it gives. Its functions are pure. Two drivers run
// the stages: the Dagger module at the top of this repository, and package local, which needs
// no container engine.
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

// Where every stage finds things, whoever runs it.
const (
	// BuildDir is the empty directory that a stage's steps start in.
	BuildDir = "/build"
	// InDir holds a stage's files and inputs.
	InDir = "/in"
	// OutDir is where a stage leaves its output.
	OutDir = "/out"
	// GoModCache and GoBuildCache are kept from one Go stage to the next. They change how long a
	// stage takes, never what it gives.
	GoModCache   = "/go/pkg/mod"
	GoBuildCache = "/go/build-cache"
)

// Stage is one unit of the build, complete in itself: equal stages give equal outputs.
type Stage struct {
	// Name says what the stage makes, for progress and errors.
	Name string
	// Platform is the target's name, empty for a stage that is the same for all.
	Platform string
	Base     Base
	// Packages are the Debian packages to install first, from DebianSuite.
	Packages Packages
	Env      []Variable
	Files    []File
	Inputs   []Input
	// Network says that steps download something.
	Network bool
	// Steps are commands with their arguments, run in order in BuildDir.
	Steps [][]string
	// Output is the name in OutDir of the one file that the stage gives.
	Output string
}

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// File is a small text that a stage finds as InDir/Name. A slash in the name makes directories.
type File struct{ Name, Content string }

// Input is the output of another stage, found as InDir/Name. A runner of stages that has the file from
// elsewhere leaves Stage nil and puts the file there itself.
type Input struct {
	Name  string
	Stage *Stage
}

// Title of the stage for people: its name, with the platform where it has one.
func (s Stage) Title() string {
	if s.Platform == "" {
		return s.Name
	}
	return s.Name + " " + s.Platform
}

// texts gives the embedded files below a directory, each under its path there with a prefix.
func texts(files fs.FS, directory, prefix string) []File {
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
		panic(err) // they are compiled in
	}
	return all
}

// shell is a step that needs redirection or a loop. Values come in as arguments, never by
// pasting them into the script.
func shell(script string, args ...string) []string {
	return append([]string{"sh", "-euc", script, "sh"}, args...)
}

// Installed is the stage that lists the Debian packages that another stage has. Its first line says where they came
// from, and each of the others has name, architecture and version.
func Installed(s Stage) Stage {
	return Stage{
		Name: "packages", Platform: s.Platform, Base: s.Base, Packages: s.Packages,
		Steps: [][]string{shell(`
			cat "$1" >"$2"
			dpkg-query -W -f '${Package} ${Architecture} ${Version}\n' | LC_ALL=C sort >>"$2"`, OriginFile, OutDir+"/packages")},
		Output: "packages",
	}
}
