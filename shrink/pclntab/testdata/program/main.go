// A program that uses whatever of the runtime looks at the function table, and that ends in each of the ways a
// program can crash. Its first argument says which.
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
