// A program for any system and processor.
package main

func main() { println("hello") }
