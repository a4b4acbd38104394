package recipe

import (
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// Program is the stage that gives Tailscale's program as it is packed: stripped, unless the
// configuration keeps its symbols.
func Program(t platform.Target, c Config, r Resolved) Stage {
	linked := Tailscale(t, c, r)
	if c.KeepSymbols {
		return linked
	}
	return tableStage(stripPrefix+linked.Name, t, c, "strip", linked, linked.Output)
}

// Symbols is the stage that keeps what a stripped program lacks, in a file that the command symbolize reads. It
// is nothing for a configuration that keeps symbols in the program.
func Symbols(t platform.Target, c Config, r Resolved) (Stage, bool) {
	linked := Tailscale(t, c, r)
	return tableStage("symbols of "+linked.Name, t, c, "symbols", linked, "symbols"), !c.KeepSymbols
}

// tableStage is a stage that runs one of the programs of package pclntab.
func tableStage(name string, t platform.Target, c Config, tool string, linked Stage, output string) Stage {
	s := toolStage(name, c, texts(pclntab.Source, ".", "shrink/pclntab/"), "shrink/pclntab/"+tool, linked, output)
	s.Platform = t.Name
	return s
}

// stripPrefix begins the name of a stage that strips what another one gives.
const stripPrefix = "strip "
