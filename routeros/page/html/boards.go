package main

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed boards.txt
var boardTable string

// board is one of MikroTik's products.
type board struct {
	// Platform is the name of the image's platform, "none" for a board without containers, or "unsure".
	Platform string
	// Flash and Memory are in MB, or 0 if they vary.
	Flash, Memory int
	Code, Name    string
}

const (
	noContainers = "none"
	notSure      = "unsure"
)

// boards parses the table.
func boards() ([]board, error) {
	var all []board
	for line := range strings.Lines(boardTable) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "\t")
		if len(columns) != 5 {
			return nil, fmt.Errorf("the board %q has %d columns: want 5", line, len(columns))
		}
		b := board{Platform: columns[0], Code: columns[3], Name: columns[4]}
		var err error
		if b.Flash, err = strconv.Atoi(columns[1]); err != nil {
			return nil, fmt.Errorf("the flash of the board %q: %w", b.Name, err)
		}
		if b.Memory, err = strconv.Atoi(columns[2]); err != nil {
			return nil, fmt.Errorf("the memory of the board %q: %w", b.Name, err)
		}
		all = append(all, b)
	}
	return all, nil
}
