// Package launcher has the sources of two C programs. The packer, src/pack.c, compresses a program with 7-Zip's LZMA
// after filters for its processor. The launcher, src/launcher.c, is a small static program that contains the result. When
// it is started, it unpacks the program into memory and executes it. A second start finds the unpacked program of the
// first and takes it over, so that daemon and command line share the memory.
package launcher

import "embed"

// Source has the sources of both programs, which are compiled together with 7-Zip's own files.
//
//go:embed src
var Source embed.FS
