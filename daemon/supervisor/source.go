package supervisor

import "embed"

// Source is this package as the build adds it to Tailscale's source: without this file.
//
//go:embed variables.go values.go flags.go settings.go prepare.go state.go follow.go routes.go
var Source embed.FS
