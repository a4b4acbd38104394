package roots

import "embed"

// Source has the source of the program in the directory pack, for the stage that runs it.
//
//go:embed roots.go pack/main.go
var Source embed.FS
