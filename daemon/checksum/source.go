package checksum

import _ "embed"

// Source is checksum.go, for package tun of wireguard-go.
//
//go:embed checksum.go
var Source string
