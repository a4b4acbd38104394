package pclntab

import "embed"

// Source is what the program in the folder strip is built from, for the stage that runs it.
//
//go:embed doc.go program.go function.go strip.go strip/main.go
var Source embed.FS
