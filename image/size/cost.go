package size

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// CostsFile is the file with the costs of features, in the sources. BenchmarkFeatures in endtoend writes it.
const CostsFile = "image/size/features.json"

//go:embed features.json
var costs string

// Costs are what changes of the default features cost.
type Costs struct {
	// Features are sorted by Change.
	Features []Cost `json:"features"`
}

// Cost is what one change of the default features costs: the difference between an image with this change and the
// default image of the same Tailscale release.
type Cost struct {
	// Change is the change as the option --features takes it: +ssh or -portmapper.
	Change string `json:"change"`
	// Dependencies are the other features that come or go with it.
	Dependencies []string `json:"dependencies"`
	// TailscaleVersion is the release that was measured.
	TailscaleVersion string `json:"tailscale_version"`
	// Flash is the difference in the size of the image's files, in bytes by platform.
	Flash map[string]int64 `json:"flash_bytes"`
	// Memory is the difference in the memory of an idle router on amd64 that the kernel can't reclaim, in units of 1024
	// bytes. It has an error of about 200, and is missing if it wasn't measured.
	Memory *int64 `json:"memory_kb,omitempty"`
}

// FeatureCosts returns the measured costs, and an entry without values for each feature that is left out of the default
// image and that wasn't measured.
func FeatureCosts() (Costs, error) {
	c, err := ParseCosts(costs)
	for _, name := range recipe.LeftOut() {
		if at, found := c.find("+" + name); !found {
			c.Features = slices.Insert(c.Features, at, Cost{Change: "+" + name, Dependencies: []string{}, Flash: map[string]int64{}})
		}
	}
	return c, err
}

// find returns the place of a change in the list.
func (c Costs) find(change string) (at int, found bool) {
	return slices.BinarySearchFunc(c.Features, change, func(f Cost, change string) int { return strings.Compare(f.Change, change) })
}

// ParseCosts parses the output of JSON.
func ParseCosts(text string) (Costs, error) {
	var c Costs
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("reading the costs of features: %w", err)
	}
	return c, nil
}

// JSON returns the costs as JSON.
func (c Costs) JSON() (string, error) {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the costs of features: %w", err)
	}
	return string(text) + "\n", nil
}

// Has reports whether a change has been measured for a platform with a Tailscale release.
func (c Costs) Has(change, version, platform string) bool {
	return slices.ContainsFunc(c.Features, func(f Cost) bool {
		_, measured := f.Flash[platform]
		return measured && f.Change == change && f.TailscaleVersion == version
	})
}

// Put adds a measurement of some platforms. It keeps those of other platforms if they are of the same Tailscale release.
func (c *Costs) Put(measured Cost) {
	at, found := c.find(measured.Change)
	if !found {
		c.Features = slices.Insert(c.Features, at, measured)
		return
	}
	known := c.Features[at]
	if known.TailscaleVersion == measured.TailscaleVersion {
		measured.Memory = cmp.Or(measured.Memory, known.Memory)
		for name, bytes := range known.Flash {
			if _, ok := measured.Flash[name]; !ok {
				measured.Flash[name] = bytes
			}
		}
	}
	c.Features[at] = measured
}

// Table returns the costs as text.
func (c Costs) Table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, cells := range c.rows() {
		// The last cell is no column, so it is aligned to the left.
		last := len(cells) - 1
		fmt.Fprintf(w, "%s\t", strings.Join(cells[:last], "\t"))
		if cells[last] != "" {
			fmt.Fprintf(w, "  %s", cells[last])
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // writing to a strings.Builder never fails
	return text.String()
}

// Markdown returns the costs as a table in Markdown.
func (c Costs) Markdown() string {
	var text strings.Builder
	for i, cells := range c.rows() {
		if i > 0 {
			cells[0] = "`" + cells[0] + "`"
		}
		fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			text.WriteString("|---" + strings.Repeat("|---:", len(cells)-2) + "|---|\n")
		}
	}
	return text.String()
}

// rows returns the cells of a table, with a heading. Platforms that nothing was measured for have no column.
func (c Costs) rows() [][]string {
	heading := []string{"feature"}
	var platforms []string
	for _, p := range platform.All() {
		if slices.ContainsFunc(c.Features, func(f Cost) bool { _, measured := f.Flash[p.Name]; return measured }) {
			platforms = append(platforms, p.Name)
			heading = append(heading, p.Name+", kB")
		}
	}
	rows := [][]string{append(heading, "memory, MB", "")}
	for _, f := range c.Features {
		row := []string{f.Change}
		for _, p := range platforms {
			cell := ""
			if bytes, measured := f.Flash[p]; measured {
				cell = tenths(float64(bytes) / 1000)
			}
			row = append(row, cell)
		}
		memory := ""
		if f.Memory != nil {
			memory = tenths(float64(*f.Memory) * 1024 / 1e6)
		}
		rows = append(rows, append(row, memory, f.remark()))
	}
	return rows
}

// tenths formats a difference with one decimal.
func tenths(x float64) string {
	rounded := math.Round(x*10) / 10
	if rounded == 0 {
		return "0"
	}
	return fmt.Sprintf("%+.1f", rounded)
}

// remark returns what else there is to know about a change.
func (f Cost) remark() string {
	if len(f.Flash) == 0 {
		return "not measured"
	}
	var parts []string
	if len(f.Dependencies) > 0 {
		verb := "adds "
		if strings.HasPrefix(f.Change, "-") {
			verb = "removes "
		}
		parts = append(parts, verb+strings.Join(f.Dependencies, ", "))
	}
	if f.TailscaleVersion != recipe.TailscaleVersion {
		parts = append(parts, "measured with Tailscale "+f.TailscaleVersion)
	}
	return strings.Join(parts, "; ")
}
