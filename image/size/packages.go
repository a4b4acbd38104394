package size

import (
	"cmp"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/shrink/launcher"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// Share is what a package, or another part of Tailscale's program, takes.
type Share struct {
	Name string `json:"name"`
	// Linked is its size in the program, in bytes.
	Linked int64 `json:"linked"`
	// Packed is its size in the image, in bytes.
	Packed int64 `json:"packed"`
}

// Program is what Tailscale's program consists of.
type Program struct {
	Version  string `json:"version"`
	Platform string `json:"platform"`
	// Packages have the code of Go packages, the largest first. A linked program doesn't say which package its
	// types, constants and tables belong to.
	Packages []Share `json:"packages"`
	// Rest are all other parts, the largest first.
	Rest []Share `json:"rest"`
}

// Generated is the name for functions that the compiler adds, for example to compare types.
const Generated = "(generated functions)"

// CheckPackages returns an error if the packages of a program can't be measured with a configuration.
func CheckPackages(t platform.Target, c recipe.Config) error {
	switch {
	case t.Architecture == "arm":
		return fmt.Errorf("the packages for %s can't be measured, because its code is packed in another order: want amd64 or arm64", t)
	case c.Compression != recipe.CompressionLauncher:
		return fmt.Errorf("packages can't be measured with compression %q: want %q", c.Compression, recipe.CompressionLauncher)
	case c.KeepSymbols:
		return errors.New("packages can only be measured in a program without symbols: want a build without --keep-symbols")
	}
	return nil
}

// MeasurePackages returns what Tailscale's program in a product consists of. The symbols are the product's symbols file.
func MeasurePackages(p assembly.Product, symbols string) (Program, error) {
	all := Program{Version: p.Config.ImageVersion(), Platform: p.Target.Name}
	for _, e := range p.Entries() {
		if e.Linked == nil || e.Component() != tailscale {
			continue
		}
		file, err := os.ReadFile(filepath.Join(p.Rootfs, filepath.FromSlash(e.Path)))
		if err != nil {
			return all, err
		}
		parts, err := launcher.Parts(file)
		if err != nil {
			return all, fmt.Errorf("reading %s: %w", e.Path, err)
		}
		functions, err := pclntab.Functions([]byte(symbols))
		if err != nil {
			return all, err
		}
		program, err := elf.Open(p.Programs[tailscale])
		if err != nil {
			return all, err
		}
		defer func() { _ = program.Close() }()
		all.share(int64(len(file)), parts, functions, program.Sections)
		return all, nil
	}
	return all, fmt.Errorf("the image has no component %s", tailscale)
}

// tailscale is the component with Tailscale's program.
const tailscale = "tailscale"

// share divides a launcher's file of the given size.
func (p *Program) share(size int64, parts []launcher.Part, functions []pclntab.Function, sections []*elf.Section) {
	packages, rest := map[string]*Share{}, map[string]*Share{}
	packed := map[*Share]float64{}
	add := func(to map[string]*Share, name string, linked int, bits float64) {
		if to[name] == nil {
			to[name] = &Share{Name: name}
		}
		to[name].Linked += int64(linked)
		packed[to[name]] += bits / 8
	}
	sum := func(costs []float32) (bits float64) {
		for _, c := range costs {
			bits += float64(c)
		}
		return bits
	}
	for _, part := range parts {
		size -= int64(part.Packed)
		switch {
		case part.Filter >= launcher.FirstPCs:
			add(rest, "pc tables", part.Size, float64(8*part.Packed))
			continue
		case part.Filter == launcher.FilterTable:
			add(rest, "function table", part.Size, float64(8*part.Packed))
			continue
		}
		for _, s := range sections {
			begin, end := max(int(s.Offset), part.Place), min(int(s.Offset+s.Size), part.Place+part.Size)
			if s.Type == elf.SHT_NOBITS || begin >= end {
				continue
			}
			costs := part.Costs[begin-part.Place : end-part.Place]
			if s.Name != ".text" {
				add(rest, s.Name, end-begin, sum(costs))
				continue
			}
			for _, f := range functions {
				add(packages, packageOf(f.Name), f.End-f.Begin, sum(costs[min(f.Begin, len(costs)):min(f.End, len(costs))]))
			}
		}
	}
	add(rest, "launcher and headers", 0, float64(8*size))
	sorted := func(from map[string]*Share) (list []Share) {
		for _, s := range from {
			s.Packed = int64(math.Round(packed[s]))
			list = append(list, *s)
		}
		slices.SortFunc(list, func(a, b Share) int { return cmp.Or(cmp.Compare(b.Packed, a.Packed), cmp.Compare(a.Name, b.Name)) })
		return list
	}
	p.Packages, p.Rest = sorted(packages), sorted(rest)
}

// packageOf returns the package of a function, by the function's name in the linked program.
func packageOf(function string) string {
	if strings.HasPrefix(function, "type:") || strings.HasPrefix(function, "go:") {
		return Generated
	}
	name, _, _ := strings.Cut(function, "[")
	name, _, _ = strings.Cut(name, "(")
	directory, last := "", name
	if slash := strings.LastIndex(name, "/"); slash >= 0 {
		directory, last = name[:slash+1], name[slash+1:]
	}
	last, _, found := strings.Cut(last, ".")
	if directory == "" && !found {
		return "runtime" // assembly without a package in its name
	}
	return directory + strings.ReplaceAll(last, "%2e", ".")
}

// JSON returns the shares as JSON.
func (p Program) JSON() (string, error) {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the sizes of packages: %w", err)
	}
	return string(text) + "\n", nil
}

// Table returns the shares as a table, in bytes.
func (p Program) Table() string {
	return table("packed\tas linked\tpackage", func(row func(...any)) {
		var all Share
		for _, list := range [][]Share{p.Packages, p.Rest} {
			var sum Share
			for _, s := range list {
				row(s.Packed, s.Linked, s.Name)
				sum.Packed, sum.Linked = sum.Packed+s.Packed, sum.Linked+s.Linked
			}
			all.Packed, all.Linked = all.Packed+sum.Packed, all.Linked+sum.Linked
			if all.Packed == sum.Packed {
				row(sum.Packed, sum.Linked, "all packages")
			}
		}
		row(all.Packed, all.Linked, "the whole file")
	})
}
