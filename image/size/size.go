// Package size measures the components of the images and compares them with a budget.
package size

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"dagger/mikrotik-tailscale/image/assembly"
)

// Component is one part of an image.
type Component struct {
	Name string `json:"name"`
	// Linked is the size before packing, in bytes.
	Linked int64 `json:"linked"`
	// Stored is the size in the image, and on the router's flash, in bytes.
	Stored int64 `json:"stored"`
}

// Platform is the image of one platform.
type Platform struct {
	Name       string      `json:"platform"`
	Components []Component `json:"components"`
	// Linked and Stored are the sums over all components.
	Linked int64 `json:"linked"`
	Stored int64 `json:"stored"`
}

// Report has the sizes of the images of several platforms.
type Report struct {
	Version   string     `json:"version"`
	Platforms []Platform `json:"platforms"`
}

// Extra is the name of the component for files that the user has added.
const Extra = "extra files"

// Measure returns the sizes of the components of products, the largest first.
func Measure(products []assembly.Product) (Report, error) {
	var r Report
	for _, p := range products {
		measured, err := measure(p)
		if err != nil {
			return r, fmt.Errorf("measuring the image for %s: %w", p.Target, err)
		}
		r.Version = p.Config.ImageVersion()
		r.Platforms = append(r.Platforms, measured)
	}
	return r, nil
}

func measure(p assembly.Product) (Platform, error) {
	components := map[string]string{}
	order := []string{}
	for _, e := range p.Entries() {
		if e.Stage == nil && e.Text == "" {
			continue
		}
		components[e.Path] = e.Component()
		if !slices.Contains(order, e.Component()) {
			order = append(order, e.Component())
		}
	}
	stored := map[string]int64{}
	err := filepath.WalkDir(p.Rootfs, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(p.Rootfs, path)
		if err != nil {
			return err
		}
		component := components[filepath.ToSlash(name)]
		if component == "" {
			component = Extra
			if !slices.Contains(order, Extra) {
				order = append(order, Extra)
			}
		}
		stored[component] += info.Size()
		return nil
	})
	if err != nil {
		return Platform{}, err
	}
	measured := Platform{Name: p.Target.Name}
	for _, name := range order {
		c := Component{Name: name, Linked: stored[name], Stored: stored[name]}
		if program, ok := p.Programs[name]; ok {
			info, err := os.Stat(program)
			if err != nil {
				return Platform{}, err
			}
			c.Linked = info.Size()
		}
		measured.Components = append(measured.Components, c)
		measured.Linked += c.Linked
		measured.Stored += c.Stored
	}
	slices.SortStableFunc(measured.Components, func(a, b Component) int { return cmp.Compare(b.Linked, a.Linked) })
	return measured, nil
}

// JSON returns the report as JSON.
func (r Report) JSON() (string, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the size report: %w", err)
	}
	return string(text) + "\n", nil
}

// Parse parses the output of JSON.
func Parse(text string) (Report, error) {
	var r Report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("reading a size report: %w", err)
	}
	return r, nil
}

// Table returns the report as a table, in bytes.
func (r Report) Table() string {
	return table("platform\tcomponent\tas linked\tin the image", func(row func(...any)) {
		for _, p := range r.Platforms {
			for _, c := range p.Components {
				row(p.Name, c.Name, c.Linked, c.Stored)
			}
			row(p.Name, "all", p.Linked, p.Stored)
		}
	})
}

func table(head string, fill func(row func(...any))) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\t\n", head)
	fill(func(cells ...any) {
		for _, c := range cells {
			fmt.Fprintf(w, "%v\t", c)
		}
		fmt.Fprintln(w)
	})
	_ = w.Flush() // writing to a strings.Builder never fails
	return text.String()
}
