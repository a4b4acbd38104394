package recipe

import "dagger/mikrotik-tailscale/shrink/pclntab"

// Stripped returns the stage whose output is packed: Tailscale's binary, without its symbols unless the configuration
// keeps them.
func (p Plan) Stripped() Stage {
	linked := p.Tailscale()
	if p.Config.KeepSymbols {
		return linked
	}
	var flags []string
	if p.hasShortRecords() {
		flags = append(flags, "-short")
	}
	return p.tableStage(stripPrefix+linked.Name, "strip", linked, linked.Output, flags...)
}

// Symbols returns the stage that writes the symbols file of Tailscale's binary, for the command symbolize. It returns
// false if the binary keeps its symbols.
func (p Plan) Symbols() (Stage, bool) {
	linked := p.Tailscale()
	return p.tableStage("symbols of "+linked.Name, "symbols", linked, "symbols"), !p.Config.KeepSymbols
}

// tableStage returns a stage that runs one of the programs of package pclntab.
func (p Plan) tableStage(name, tool string, linked Stage, output string, flags ...string) Stage {
	s := toolStage(name, p.toolchain(), embedded(pclntab.Source, ".", "shrink/pclntab/"), "shrink/pclntab/"+tool, linked, output, flags...)
	s.Platform = p.Target.Name
	return s
}

// stripPrefix is the prefix of the name of a stage that strips another stage's output.
const stripPrefix = "strip "
