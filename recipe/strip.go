package recipe

import (
	"dagger/mikrotik-tailscale/pclntab"
	"dagger/mikrotik-tailscale/platform"
)

// Program is the stage that gives Tailscale's program as it is packed: stripped, unless the
// configuration keeps its symbols.
func Program(t platform.Target, c Config, r Resolved) Stage {
	linked := Tailscale(t, c, r)
	if c.KeepSymbols {
		return linked
	}
	return strip(t, c, linked)
}

// strip is the stage that takes what only a crash's text needs out of a linked Go program.
func strip(t platform.Target, c Config, program Stage) Stage {
	s := tableStage(stripPrefix+program.Name, "strip", t, c, program)
	s.Output = program.Output
	return s
}

// stripPrefix begins the name of a stage that strips what another one gives.
const stripPrefix = "strip "

// tableStage is a stage that runs one of the programs below package pclntab on a linked Go program,
// for what becomes its output. It needs no more than Go's own library.
func tableStage(name, tool string, t platform.Target, c Config, program Stage) Stage {
	const module = "module dagger/mikrotik-tailscale\n\ngo 1.26\n"
	return Stage{
		Name: name, Platform: t.Name, Base: BaseGo, Packages: toolPackages,
		Env:    goEnv(c),
		Files:  append(texts(pclntab.Source, ".", "pclntab/"), File{Name: "go.mod", Content: module}),
		Inputs: []Input{{Name: program.Output, Stage: &program}},
		Steps: [][]string{{"go", "-C", InDir, "run", "-trimpath", "./pclntab/" + tool,
			InDir + "/" + program.Output, OutDir + "/" + program.Output}},
		Output: program.Output,
	}
}
