package size

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed sizes.svg.tmpl
var svgTemplate string

// Dimensions of the picture, in its own units.
const (
	pictureWidth = 760
	labelWidth   = 70
	barsWidth    = 560
	rowHeight    = 40
	headHeight   = 70
)

// Colours that colour-blind people can tell apart, on light and dark pages (by Okabe and Ito).
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"}

type drawnBar struct {
	X, Width float64
	Colour   string
	Title    string
}

type drawnRow struct {
	Y     int
	Name  string
	Bars  []drawnBar
	End   float64
	Total string
}

type drawnKey struct {
	X      int
	Colour string
	Name   string
}

// SVG returns a picture of the sizes in the images.
func (r Report) SVG() (string, error) {
	t, err := template.New("sizes").Parse(svgTemplate)
	if err != nil {
		return "", fmt.Errorf("drawing the sizes: %w", err)
	}
	longest := int64(1)
	for _, p := range r.Platforms {
		longest = max(longest, p.Stored)
	}
	colour := map[string]string{}
	var keys []drawnKey
	var rows []drawnRow
	for i, p := range r.Platforms {
		row := drawnRow{Y: headHeight + i*rowHeight, Name: p.Name, End: labelWidth, Total: megabytes(p.Stored)}
		for _, c := range p.Components {
			if colour[c.Name] == "" {
				colour[c.Name] = colours[len(keys)%len(colours)]
				keys = append(keys, drawnKey{X: labelWidth + len(keys)*140, Colour: colour[c.Name], Name: c.Name})
			}
			width := float64(c.Stored) / float64(longest) * barsWidth
			row.Bars = append(row.Bars, drawnBar{X: row.End, Width: width, Colour: colour[c.Name],
				Title: fmt.Sprintf("%s: %d bytes", c.Name, c.Stored)})
			row.End += width
		}
		rows = append(rows, row)
	}
	var text strings.Builder
	err = t.Execute(&text, map[string]any{
		"Width": pictureWidth, "Height": headHeight + len(rows)*rowHeight, "Version": r.Version,
		"Keys": keys, "Rows": rows,
	})
	if err != nil {
		return "", fmt.Errorf("drawing the sizes: %w", err)
	}
	return text.String(), nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
