// Package pclntab shrinks the function table that the Go linker writes into a program, .gopclntab. The table takes a
// fifth of a compressed Go program. Most of it is only used when a person reads a crash: names, files, lines and
// arguments. Strip removes those. Symbols stores them in a file, from which Symbolize adds them to a crash report of
// the stripped program.
//
// Strip keeps everything that the runtime itself needs: frame sizes, the locations of pointers, where a goroutine may
// be stopped, deferred and inlined calls, and the names that the runtime compares.
package pclntab
