package idle

import _ "embed"

// Source is idle.go, which the build adds to Tailscale's source.
//
//go:embed idle.go
var Source string
