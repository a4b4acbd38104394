// This program uses everything in the runtime that reads the function table, and ends in each way that a program can
// crash. Its first argument selects what to do.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: program works|CRASH")
		os.Exit(90)
	}
	if os.Args[1] == "works" {
		works()
		return
	}
	crash, ok := crashes[os.Args[1]]
	if !ok {
		fmt.Fprintln(os.Stderr, "unknown crash", os.Args[1])
		os.Exit(91)
	}
	crash()
}
