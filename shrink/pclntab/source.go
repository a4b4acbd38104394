package pclntab

import "embed"

// Source has the source of the programs in the directories strip and symbols, for the stages that run them.
//
//go:embed doc.go program.go function.go strip.go starts.go symbols.go strip/main.go symbols/main.go
var Source embed.FS
