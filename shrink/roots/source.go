package roots

import "embed"

// Source is what the program in the directory pack is built from, for the stage that runs it.
//
//go:embed roots.go pack/main.go
var Source embed.FS
