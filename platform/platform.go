// Package platform is the table of platforms that an image can be built for, with the names that each build stage
// uses for them.
package platform

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Target is one platform: a row of the table. It has the names that RouterOS, containers, Go, C compilers and Debian
// use for it.
type Target struct {
	// Name is this project's name for the platform, used in options and file names.
	Name string
	// Aliases are other names that users may use for the platform.
	Aliases []string
	// RouterOS is the architecture-name that /system/resource prints.
	RouterOS string
	// Boards describes the routers of this platform in a few words.
	Boards string
	// Models are the board and model names of the routers, for a platform that shares its RouterOS architecture with
	// another one. A name that ends with a hyphen matches every model that begins with it.
	Models []string
	// OS, Architecture and Variant make up the container platform.
	OS, Architecture, Variant string
	// GOARM is the Go compiler's ARM version. It is empty for other processors. GOARCH is Architecture.
	GOARM string
	// Triple is the prefix of Debian's cross compiler and the name of its directory in /usr.
	Triple string
	// Debian is Debian's name for the architecture.
	Debian string
	// CFlags select the CPU for the C compiler.
	CFlags []string
	// Machine is the machine in the ELF header of every binary in the image.
	Machine elf.Machine
	// Class is the word size in the ELF header.
	Class elf.Class
	// HardFloat is whether 32-bit ARM code may pass floats in VFP registers.
	HardFloat bool
}

// The C compiler's flags repeat Debian's baseline for each architecture, so that a change of Debian's defaults
// doesn't change the image.
var targets = []Target{
	{
		Name: "amd64", Aliases: []string{"x86", "x86_64", "chr"}, RouterOS: "x86", Boards: "x86 and CHR",
		OS: "linux", Architecture: "amd64", Triple: "x86_64-linux-gnu", Debian: "amd64",
		CFlags: []string{"-march=x86-64", "-mtune=generic"}, Machine: elf.EM_X86_64, Class: elf.ELFCLASS64,
	},
	{
		Name: "arm64", Aliases: []string{"aarch64", "arm64v8"}, RouterOS: "arm64", Boards: "64-bit ARM boards",
		OS: "linux", Architecture: "arm64", Triple: "aarch64-linux-gnu", Debian: "arm64",
		CFlags: []string{"-march=armv8-a"}, Machine: elf.EM_AARCH64, Class: elf.ELFCLASS64,
	},
	{
		Name: "arm", Aliases: []string{"armv7", "armhf", "arm32v7"}, RouterOS: "arm", Boards: "32-bit ARM boards, except those that need armv5",
		OS: "linux", Architecture: "arm", Variant: "v7", GOARM: "7", Triple: "arm-linux-gnueabihf", Debian: "armhf",
		CFlags: []string{"-march=armv7-a+fp", "-mfloat-abi=hard", "-mthumb"}, Machine: elf.EM_ARM, Class: elf.ELFCLASS32, HardFloat: true,
	},
	{
		Name: "armv5", Aliases: []string{"armel", "arm32v5"}, RouterOS: "arm", Boards: "boards with the EN7562CT: hEX refresh (E50UG), hEX S (2025), hAP ax S",
		// The older hEX and hEX S are MIPS boards.
		Models: []string{"hEX", "hEX refresh", "hEX S", "hEX S (2025)", "hAP ax S", "E50UG", "E60iUGS", "E62iUGS-"},
		OS:     "linux", Architecture: "arm", Variant: "v5", GOARM: "5", Triple: "arm-linux-gnueabi", Debian: "armel",
		CFlags: []string{"-march=armv5te", "-mfloat-abi=soft", "-marm"}, Machine: elf.EM_ARM, Class: elf.ELFCLASS32,
	},
}

// All returns every platform, in the order in which users see them.
func All() []Target { return slices.Clone(targets) }

// Parse returns the platform with the given name: one of its names, or a container platform such as linux/arm/v7. A
// 32-bit ARM platform without a variant means ARMv7, as in other container tools.
func Parse(name string) (Target, error) {
	wanted := strings.ToLower(strings.TrimSpace(name))
	for _, t := range targets {
		if slices.Contains(t.Names(), wanted) {
			return t, nil
		}
	}
	return Target{}, fmt.Errorf("unknown platform %q: choose one of %s", name, listing())
}

// OfRouter returns the platform of a router. architecture is the architecture-name that RouterOS prints, and names
// are the names of its board and model.
func OfRouter(architecture string, names ...string) (Target, error) {
	var common *Target
	for _, t := range targets {
		// RouterOS may append the word size to x86.
		if t.RouterOS != architecture && (t.RouterOS != "x86" || !strings.HasPrefix(architecture, "x86")) {
			continue
		}
		if len(t.Models) == 0 {
			common = &t
			continue
		}
		for _, name := range names {
			if slices.ContainsFunc(t.Models, func(m string) bool { return name == m || strings.HasSuffix(m, "-") && strings.HasPrefix(name, m) }) {
				return t, nil
			}
		}
	}
	if common == nil {
		return Target{}, fmt.Errorf("RouterOS has no containers on the architecture %q: want %s", architecture, strings.Join(architectures(), ", "))
	}
	return *common, nil
}

// architectures returns the platforms' names in RouterOS.
func architectures() []string {
	var all []string
	for _, t := range targets {
		if !slices.Contains(all, t.RouterOS) {
			all = append(all, t.RouterOS)
		}
	}
	return all
}

// Every is the name for all platforms.
const Every = "all"

// orAll is added to the error about an unknown name where "all" would be accepted.
const orAll = "; or " + Every

// ParseAll returns the platforms with the given names, each once and in the given order. It accepts the names that
// Parse accepts, and "all".
func ParseAll(names []string) ([]Target, error) {
	var found []Target
	var problems []error
	for _, name := range names {
		chosen := targets
		if strings.ToLower(strings.TrimSpace(name)) != Every {
			t, err := Parse(name)
			if err != nil {
				known := slices.ContainsFunc(problems, func(p error) bool { return p.Error() == err.Error()+orAll })
				if !known {
					problems = append(problems, fmt.Errorf("%w"+orAll, err))
				}
			}
			chosen = []Target{t}
		}
		for _, t := range chosen {
			if !slices.ContainsFunc(found, func(o Target) bool { return o.Name == t.Name }) {
				found = append(found, t)
			}
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return found, nil
}

// Names returns every name that Parse accepts for the platform, starting with its own.
func (t Target) Names() []string {
	names := append([]string{t.Name}, t.Aliases...)
	names = append(names, t.Platform())
	switch {
	case t.Architecture == "arm" && t.Variant == "v7":
		names = append(names, t.OS+"/"+t.Architecture)
	case t.Architecture == "arm64":
		names = append(names, t.Platform()+"/v8")
	}
	return names
}

// Platform returns the container platform, with its variant if it has one.
func (t Target) Platform() string {
	p := t.OS + "/" + t.Architecture
	if t.Variant != "" {
		p += "/" + t.Variant
	}
	return p
}

func (t Target) String() string { return t.Name }

func listing() string {
	var all []string
	for _, t := range targets {
		all = append(all, fmt.Sprintf("%s (also %s)", t.Name, strings.Join(t.Names()[1:], ", ")))
	}
	return strings.Join(all, "; ")
}
