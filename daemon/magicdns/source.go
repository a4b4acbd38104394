package magicdns

import "embed"

// Source is this package as the build adds it to Tailscale's source: without this file.
//
//go:embed packet.go responder.go tcp.go
var Source embed.FS
