package platform

import "embed"

// Source has this package without its tests, for the stage that compiles it for browsers.
//
//go:embed platform.go source.go
var Source embed.FS
