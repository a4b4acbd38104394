package supervisor

import "embed"

// Source has the files of this package that the build adds to Tailscale's source, without this one.
//
//go:embed variables.go values.go flags.go settings.go prepare.go state.go follow.go routes.go
var Source embed.FS
