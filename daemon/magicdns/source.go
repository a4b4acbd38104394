package magicdns

import "embed"

// Source has the files of this package that the build adds to Tailscale's source, without this one.
//
//go:embed packet.go responder.go tcp.go
var Source embed.FS
