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
	s := toolStage(stripPrefix+linked.Name, c, texts(pclntab.Source, ".", "pclntab/"), "pclntab/strip", linked, linked.Output)
	s.Platform = t.Name
	return s
}

// stripPrefix begins the name of a stage that strips what another one gives.
const stripPrefix = "strip "
