// Package pclntab makes the table that a Go linker writes about a program's functions, .gopclntab,
// smaller. It takes a fifth of what a Go program packs to, and most of it is only for people who read
// a crash: names, files, lines and arguments. Strip takes those out, and Symbols keeps them in a file of
// their own, from which Symbolize puts them back into a crash that the stripped program printed.
//
// What the runtime itself needs stays: how large frames are, where pointers lie, where a goroutine may be
// stopped, deferred calls, inlined calls, and the names that the runtime compares with.
package pclntab
