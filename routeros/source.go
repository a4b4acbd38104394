package routeros

import "embed"

// Source is this package without its tests, for the stage that compiles it for browsers.
//
//go:embed additions.go app.go exchange.go memory.go options.go problem.go quote.go scripts.go settings.go source.go templates
var Source embed.FS
