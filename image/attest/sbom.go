package attest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// SBOMType is the media type of an SBOM.
const SBOMType = "application/vnd.cyclonedx+json"

// SBOMName returns the file name of a platform's SBOM.
func SBOMName(t platform.Target) string { return "tailscale-" + t.Name + ".cdx.json" }

// SBOM returns the SBOM of one platform's image. It lists Tailscale with every Go module linked into the program,
// busybox and the C libraries linked into it, the unpacking code, the CA certificates, and every file of the image
// with its sha256.
func SBOM(ctx context.Context, run assembly.StageRunner, p assembly.Product) (string, error) {
	text, err := sbom(ctx, run, p)
	if err != nil {
		return "", fmt.Errorf("writing the SBOM of the image for %s: %w", p.Target, err)
	}
	return text, nil
}

func sbom(ctx context.Context, run assembly.StageRunner, p assembly.Product) (string, error) {
	info, err := buildinfo.ReadFile(p.Programs["tailscale"])
	if err != nil {
		return "", err
	}
	tools, err := installed(ctx, run, recipe.Certificates())
	if err != nil {
		return "", err
	}
	compilers, err := installed(ctx, run, recipe.Busybox(p.Target, p.Config))
	if err != nil {
		return "", err
	}
	parts, err := debianParts(p, tools.packages, compilers.packages)
	if err != nil {
		return "", err
	}
	files, err := files(p.Rootfs)
	if err != nil {
		return "", err
	}
	image := cdx.Component{
		BOMRef: "image", Type: cdx.ComponentTypeContainer, Name: recipe.Title, Version: p.Config.ImageVersion(),
		Description: recipe.Annotations(p.Config)["org.opencontainers.image.description"],
		Properties:  &[]cdx.Property{{Name: recipe.Title + ":platform", Value: p.Target.Platform()}},
	}
	modules := goModules(info)
	top := slices.Concat([]cdx.Component{tailscale(p.Config), busybox(p.Config), musl()}, parts)
	if p.Config.Compression == recipe.CompressionLauncher {
		top = append(top, sevenZip())
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &image, Timestamp: p.Config.Epoch.UTC().Format(time.RFC3339)}
	all := slices.Concat(top, modules, files)
	bom.Components = &all
	bom.Dependencies = &[]cdx.Dependency{
		{Ref: image.BOMRef, Dependencies: refs(top)},
		{Ref: top[0].BOMRef, Dependencies: refs(modules)},
	}
	// The serial number is computed from the content, because a random one would make every build different.
	plain, err := encode(bom)
	if err != nil {
		return "", err
	}
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(plain)).URN()
	return encode(bom)
}

// specVersion is the newest CycloneDX version that all common scanners read.
const specVersion = cdx.SpecVersion1_6

func encode(bom *cdx.BOM) (string, error) {
	var text bytes.Buffer
	err := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, specVersion)
	return text.String(), err
}

func refs(components []cdx.Component) *[]string {
	var all []string
	for _, c := range components {
		all = append(all, c.BOMRef)
	}
	return &all
}

func licensed(id string) *cdx.Licenses {
	return &cdx.Licenses{{License: &cdx.License{ID: id}}}
}

func tailscale(c recipe.Config) cdx.Component {
	return golang(cdx.ComponentTypeApplication, "tailscale.com", "v"+c.TailscaleVersion, licensed("BSD-3-Clause"), "")
}

// goModules returns the modules in the program's build information, and Go's standard library.
func goModules(info *debug.BuildInfo) []cdx.Component {
	all := []cdx.Component{golang(cdx.ComponentTypeLibrary, "std", strings.TrimPrefix(info.GoVersion, "go"), licensed("BSD-3-Clause"), "")}
	for _, m := range info.Deps {
		// A module that the build changes is a copy without a version. It is listed as the module that was copied.
		if m.Replace != nil && m.Replace.Version != "(devel)" {
			m = m.Replace
		}
		all = append(all, golang(cdx.ComponentTypeLibrary, m.Path, m.Version, nil, m.Sum))
	}
	return all
}

func golang(kind cdx.ComponentType, path, version string, licenses *cdx.Licenses, sum string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + version
	c := cdx.Component{BOMRef: purl, Type: kind, Name: path, Version: version, PackageURL: purl, Licenses: licenses}
	if sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: sum}}
	}
	return c
}

func busybox(c recipe.Config) cdx.Component {
	purl := "pkg:generic/busybox@" + c.BusyboxVersion + "?checksum=sha256:" + c.BusyboxChecksum
	return cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeApplication, Name: "busybox", Version: c.BusyboxVersion, PackageURL: purl,
		CPE:        "cpe:2.3:a:busybox:busybox:" + c.BusyboxVersion + ":*:*:*:*:*:*:*",
		Licenses:   licensed("GPL-2.0-only"),
		Properties: &[]cdx.Property{{Name: recipe.Title + ":applets", Value: strings.Join(c.Applets.Names(), ",")}},
	}
}

// musl returns the C library that is linked into busybox and the launcher.
func musl() cdx.Component {
	purl := muslPURL + "?checksum=sha256:" + recipe.MuslChecksum
	return cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: "musl", Version: recipe.MuslVersion, PackageURL: purl,
		CPE:      "cpe:2.3:a:musl-libc:musl:" + recipe.MuslVersion + ":*:*:*:*:*:*:*",
		Licenses: licensed("MIT"),
	}
}

const muslPURL = "pkg:generic/musl@" + recipe.MuslVersion

// sevenZip returns the code that unpacks programs.
func sevenZip() cdx.Component {
	purl := sevenZipPURL + "?checksum=sha256:" + recipe.SevenZipChecksum
	return cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: "7zip", Version: recipe.SevenZipVersion, PackageURL: purl,
		Description: "the launcher's unpacking code", Licenses: &cdx.Licenses{{License: &cdx.License{Name: "Public domain"}}},
	}
}

const sevenZipPURL = "pkg:generic/7zip@" + recipe.SevenZipVersion

// debianParts returns the components that come from Debian's packages.
func debianParts(p assembly.Product, tools, compilers []Package) ([]cdx.Component, error) {
	type part struct {
		name    string
		kind    cdx.ComponentType
		license string
		from    []Package
		matches func(Package) bool
	}
	debian := p.Target.Debian
	parts := []part{
		{"libgcc", cdx.ComponentTypeLibrary, "GPL-3.0-or-later WITH GCC-exception-3.1", compilers, func(k Package) bool {
			return strings.HasPrefix(k.Name, "libgcc-") && (strings.HasSuffix(k.Name, "-dev-"+debian+"-cross") ||
				strings.HasSuffix(k.Name, "-dev") && k.Architecture == debian)
		}},
		{"the CA certificates", cdx.ComponentTypeData, "MPL-2.0", tools, func(k Package) bool { return k.Name == "ca-certificates" }},
	}
	if p.Config.Compression == recipe.CompressionUPX {
		parts = append(parts, part{"UPX's unpacking code", cdx.ComponentTypeLibrary, "GPL-2.0-or-later", tools, func(k Package) bool { return k.Name == "upx-ucl" }})
	}
	var all []cdx.Component
	for _, p := range parts {
		found, err := find(p.from, p.name, p.matches)
		if err != nil {
			return nil, err
		}
		all = append(all, cdx.Component{
			BOMRef: found.PURL(), Type: p.kind, Name: found.Name, Version: found.Version, PackageURL: found.PURL(),
			Description: p.name, Licenses: &cdx.Licenses{{Expression: p.license}},
		})
	}
	return all, nil
}

// files returns the files of a root filesystem, each with its checksum.
func files(rootfs string) ([]cdx.Component, error) {
	var all []cdx.Component
	err := filepath.WalkDir(rootfs, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(rootfs, path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		name = "/" + filepath.ToSlash(name)
		all = append(all, cdx.Component{BOMRef: "file:" + name, Type: cdx.ComponentTypeFile, Name: name,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}})
		return nil
	})
	return all, err
}
