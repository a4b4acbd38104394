package recipe

import "dagger/mikrotik-tailscale/shrink/pclntab"

// Stripped is the stage whose output is packed: Tailscale's binary without its symbols, unless the configuration keeps
// them.
func (p Plan) Stripped() Stage {
	linked := p.Tailscale()
	if p.Config.KeepSymbols {
		return linked
	}
	return p.tableStage(stripPrefix+linked.Name, "strip", linked, linked.Output)
}

// Symbols is the stage that writes the symbols of Tailscale's binary to a file, which the command symbolize reads. It
// returns false if the binary keeps them.
func (p Plan) Symbols() (Stage, bool) {
	linked := p.Tailscale()
	return p.tableStage("symbols of "+linked.Name, "symbols", linked, "symbols"), !p.Config.KeepSymbols
}

// tableStage is a stage that runs one of the programs of package pclntab.
func (p Plan) tableStage(name, tool string, linked Stage, output string) Stage {
	s := toolStage(name, p.Config, texts(pclntab.Source, ".", "shrink/pclntab/"), "shrink/pclntab/"+tool, linked, output)
	s.Platform = p.Target.Name
	return s
}

// stripPrefix begins the name of a stage that strips what another one gives.
const stripPrefix = "strip "
