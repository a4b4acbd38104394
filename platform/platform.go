// Package platform is the table of the routers that an image can be built for, with every
// name that a build stage knows each of them by.
package platform

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Target is one kind of router: what RouterOS, containers, Go, C compilers and Debian call it.
type Target struct {
	// Name is this project's name for the target, used in options and in file names.
	Name string
	// Aliases are further names that users know the target by.
	Aliases []string
	// RouterOS is what "/system/resource" prints as architecture-name.
	RouterOS string
	// Boards says in a few words which routers the target is for.
	Boards string
	// Models are how such routers call their board or its model, for a target that shares its RouterOS
	// architecture with another one. One that ends with a hyphen is only the beginning of a model's name.
	Models []string
	// OS, Architecture and Variant make up the container platform.
	OS, Architecture, Variant string
	// GOARM is the Go compiler's ARM version, empty elsewhere. GOARCH is Architecture.
	GOARM string
	// Triple prefixes the names of Debian's cross compiler and names its directory in /usr.
	Triple string
	// Debian is the target's name among Debian's packages.
	Debian string
	// CFlags choose the CPU for the C compiler.
	CFlags []string
	// Machine is what the ELF header of every binary in the image must say.
	Machine elf.Machine
	// Class is the word size that the ELF header must say.
	Class elf.Class
	// HardFloat says whether 32-bit ARM code may pass floats in VFP registers.
	HardFloat bool
}

// The C compiler's flags are Debian's baseline for the architecture, spelled out, so that a
// change of Debian's defaults does not change the image.
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
		Name: "arm", Aliases: []string{"armv7", "armhf", "arm32v7"}, RouterOS: "arm", Boards: "32-bit ARM boards but those of armv5",
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

// All returns every target, in the order in which they are listed to users.
func All() []Target { return slices.Clone(targets) }

// Parse finds the target that a user means: one of its names, or a container platform such as
// linux/arm/v7. A 32-bit ARM platform with no variant means ARMv7, as it does to container tools.
func Parse(name string) (Target, error) {
	wanted := strings.ToLower(strings.TrimSpace(name))
	for _, t := range targets {
		if slices.Contains(t.Names(), wanted) {
			return t, nil
		}
	}
	return Target{}, fmt.Errorf("unknown platform %q: choose one of %s", name, listing())
}

// OfRouter finds the target of a router by what RouterOS prints as architecture-name, and by the names of its
// board and model.
func OfRouter(architecture string, names ...string) (Target, error) {
	var common *Target
	for _, t := range targets {
		// The bitness of x86 may stand behind it.
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

// architectures are the targets' names in RouterOS.
func architectures() []string {
	var all []string
	for _, t := range targets {
		if !slices.Contains(all, t.RouterOS) {
			all = append(all, t.RouterOS)
		}
	}
	return all
}

// Every is the name that stands for all targets.
const Every = "all"

// orAll ends the error about a name where "all" would be accepted.
const orAll = "; or " + Every

// ParseAll finds the targets that a user means, each once and in the given order. Besides the names that Parse
// takes, "all" stands for every target.
func ParseAll(names []string) ([]Target, error) {
	var found []Target
	var problems []error
	for _, name := range names {
		chosen := targets
		if strings.ToLower(strings.TrimSpace(name)) != Every {
			t, err := Parse(name)
			if err != nil {
				told := slices.ContainsFunc(problems, func(p error) bool { return p.Error() == err.Error()+orAll })
				if !told {
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

// Names returns everything that Parse takes for the target, its own name first.
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

// Platform is the container platform, with the variant where there is one.
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
