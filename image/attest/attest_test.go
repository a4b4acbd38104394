package attest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/attest/attesttest"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// product is an image for arm with three files. Its Tailscale is this test program.
func product(t *testing.T, change func(*recipe.Config)) assembly.Product {
	t.Helper()
	target, err := platform.Parse("arm")
	if err != nil {
		t.Fatal(err)
	}
	c := recipe.Default()
	if change != nil {
		change(&c)
	}
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rootfs := t.TempDir()
	for name, content := range map[string]string{"bin/busybox": "shell", "etc/passwd": "root", "etc/group": "root"} {
		path := filepath.Join(rootfs, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("busybox", filepath.Join(rootfs, "bin/sh")); err != nil {
		t.Fatal(err)
	}
	return assembly.Product{
		Plan:   recipe.Plan{Target: target, Config: c, Resolved: recipe.Resolved{Tags: "ts_include_cli,ts_omit_ssh", Features: []string{"cli"}, Go: "1.26.8"}},
		Rootfs: rootfs, Programs: map[string]string{"tailscale": program},
	}
}

// outputs replaces the stages. The output of each is its own title, and lists of packages are those of a Debian
// system.
func outputs(t *testing.T) assembly.StageRunner {
	directory := t.TempDir()
	return func(_ context.Context, s recipe.Stage) (string, error) {
		content := s.Title()
		if s.Name == "packages" {
			content = recipe.OriginSnapshot + "\napt amd64 3.0.3\nca-certificates all 20250419\nupx-ucl amd64 4.2.4-1\n"
			if slices.Contains(s.Packages.Names, "gcc-arm-linux-gnueabihf") {
				content = recipe.OriginArchive + "\napt amd64 3.0.3\nlibgcc-14-dev amd64 14.2\nlibgcc-14-dev-armhf-cross all 14.2.0-19cross1\n"
			}
		}
		sum := sha256.Sum256([]byte(content))
		path := filepath.Join(directory, hex.EncodeToString(sum[:]))
		return path, os.WriteFile(path, []byte(content), 0o644)
	}
}

// line returns a component on one line.
func line(c cdx.Component) string {
	text := fmt.Sprintf("%s %s %s", c.Type, c.Name, c.Version)
	for _, more := range []string{c.PackageURL, c.CPE, c.Description} {
		if more != "" {
			text += " " + more
		}
	}
	if c.Licenses != nil {
		for _, l := range *c.Licenses {
			text += " (" + l.Expression
			if l.License != nil {
				text += l.License.ID + l.License.Name
			}
			text += ")"
		}
	}
	if c.Properties != nil {
		for _, p := range *c.Properties {
			text += " " + p.Name + "=" + p.Value
		}
	}
	if c.Hashes != nil {
		for _, h := range *c.Hashes {
			text += " " + string(h.Algorithm) + "=" + h.Value
		}
	}
	return text
}

func decoded(t *testing.T, sbom string) cdx.BOM {
	t.Helper()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(strings.NewReader(sbom), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	return bom
}

func sbom(t *testing.T, p assembly.Product) string {
	t.Helper()
	text, err := attest.SBOM(t.Context(), outputs(t), p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const (
	unpackerUPX      = "library upx-ucl 4.2.4-1 pkg:deb/debian/upx-ucl@4.2.4-1?arch=amd64&distro=trixie UPX's unpacking code (GPL-2.0-or-later)"
	unpackerLauncher = "library 7zip " + recipe.SevenZipVersion + " pkg:generic/7zip@" + recipe.SevenZipVersion + "?checksum=sha256:" + recipe.SevenZipChecksum +
		" the launcher's unpacking code (Public domain)"
)

func TestAnSBOMListsWhatIsInTheImage(t *testing.T) {
	schema := attesttest.Schema(t)
	for compression, unpacker := range map[recipe.Compression]string{
		recipe.CompressionNone: "", recipe.CompressionUPX: unpackerUPX, recipe.CompressionLauncher: unpackerLauncher,
	} {
		t.Run(string(compression), func(t *testing.T) {
			p := product(t, func(c *recipe.Config) { c.Compression = compression })
			text := sbom(t, p)
			attesttest.Valid(t, schema, text)
			var got, modules []string
			for _, c := range *decoded(t, text).Components {
				if strings.HasPrefix(c.PackageURL, "pkg:golang/") && c.Name != "tailscale.com" {
					modules = append(modules, c.Name)
				} else {
					got = append(got, line(c))
				}
			}
			busybox := recipe.BusyboxVersion + "?checksum=sha256:" + p.Config.BusyboxChecksum
			want := []string{
				"application tailscale.com v" + recipe.TailscaleVersion + " pkg:golang/tailscale.com@v" + recipe.TailscaleVersion + " (BSD-3-Clause)",
				"application busybox " + recipe.BusyboxVersion + " pkg:generic/busybox@" + busybox +
					" cpe:2.3:a:busybox:busybox:" + recipe.BusyboxVersion + ":*:*:*:*:*:*:* (GPL-2.0-only) mikrotik-tailscale:applets=" + strings.Join(p.Config.Applets.Names(), ","),
				"library musl " + recipe.MuslVersion + " pkg:generic/musl@" + recipe.MuslVersion + "?checksum=sha256:" + recipe.MuslChecksum +
					" cpe:2.3:a:musl-libc:musl:" + recipe.MuslVersion + ":*:*:*:*:*:*:* (MIT)",
				"library libgcc-14-dev-armhf-cross 14.2.0-19cross1 pkg:deb/debian/libgcc-14-dev-armhf-cross@14.2.0-19cross1?arch=all&distro=trixie libgcc (GPL-3.0-or-later WITH GCC-exception-3.1)",
				"data ca-certificates 20250419 pkg:deb/debian/ca-certificates@20250419?arch=all&distro=trixie the CA certificates (MPL-2.0)",
				unpacker,
			}
			want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
			for _, f := range [][2]string{{"/bin/busybox", "shell"}, {"/etc/group", "root"}, {"/etc/passwd", "root"}} {
				want = append(want, fmt.Sprintf("file %s  SHA-256=%x", f[0], sha256.Sum256([]byte(f[1]))))
			}
			if !slices.Equal(got, want) {
				t.Errorf("the components are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if !slices.Equal(modules, []string{"std"}) { // a test program has no others
				t.Errorf("the modules are %q", modules)
			}
		})
	}
}

func TestTheComponentsOfAnSBOMReferToOneAnother(t *testing.T) {
	bom := decoded(t, sbom(t, product(t, nil)))
	refs := map[string]bool{}
	for _, c := range *bom.Components {
		if refs[c.BOMRef] || c.BOMRef == "" {
			t.Errorf("%s has the reference %q", c.Name, c.BOMRef)
		}
		refs[c.BOMRef] = true
	}
	dependencies := map[string]int{}
	for _, d := range *bom.Dependencies {
		dependencies[d.Ref] = len(*d.Dependencies)
		for _, ref := range *d.Dependencies {
			if !refs[ref] {
				t.Errorf("%s depends on %s, which is no component", d.Ref, ref)
			}
		}
	}
	if tailscale := "pkg:golang/tailscale.com@v" + recipe.TailscaleVersion; dependencies["image"] != 6 || dependencies[tailscale] != 1 {
		t.Errorf("dependencies: %v", dependencies)
	}
}

func TestAnSBOMIsAboutItsImage(t *testing.T) {
	p := product(t, nil)
	text := sbom(t, p)
	if again := sbom(t, p); again != text {
		t.Error("the same image has another SBOM each time")
	}
	bom := decoded(t, text)
	if got, want := line(*bom.Metadata.Component), "container mikrotik-tailscale "+recipe.TailscaleVersion+"-mt.1 Tailscale "+recipe.TailscaleVersion+
		" for MikroTik routers mikrotik-tailscale:platform=linux/arm/v7"; got != want || bom.Metadata.Timestamp != "1970-01-01T00:00:00Z" {
		t.Errorf("the SBOM of %s at %s; want %s", got, bom.Metadata.Timestamp, want)
	}
	if !strings.Contains(text, `"specVersion": "1.6"`) || strings.Contains(text, `\u0026`) {
		t.Error("another version of CycloneDX, or characters in a form for web pages")
	}
	p.Config.Revision = 2
	if other := decoded(t, sbom(t, p)); other.SerialNumber == bom.SerialNumber || !strings.HasPrefix(bom.SerialNumber, "urn:uuid:") {
		t.Errorf("another image's number is %q, too", bom.SerialNumber)
	}
}

// For this machine's own architecture, the compiler is not a cross compiler.
func TestTheCompilersLibraryOfEachPlatform(t *testing.T) {
	for name, installed := range map[string]string{
		"amd64": "libgcc-14-dev amd64 14.2\nlibgcc-s1 amd64 14.2\nlibgcc-13-dev i386 13\n",
		"arm64": "libgcc-14-dev amd64 14.2\nlibgcc-14-dev-arm64-cross all 14.2\n",
		"armv5": "libgcc-14-dev amd64 14.2\nlibgcc-14-dev-armhf-cross all 14.2\nlibgcc-14-dev-armel-cross all 14.2\n",
	} {
		p := product(t, nil)
		var err error
		if p.Target, err = platform.Parse(name); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "packages")
		if err := os.WriteFile(path, []byte(recipe.OriginSnapshot+"\nca-certificates all 1\n"+installed), 0o644); err != nil {
			t.Fatal(err)
		}
		text, err := attest.SBOM(t.Context(), func(context.Context, recipe.Stage) (string, error) { return path, nil }, p)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"amd64": "libgcc-14-dev", "arm64": "libgcc-14-dev-arm64-cross", "armv5": "libgcc-14-dev-armel-cross"}[name]
		for _, c := range *decoded(t, text).Components {
			if c.Description == "libgcc" && c.Name != want {
				t.Errorf("%s has %s; want %s", name, c.Name, want)
			}
		}
	}
}

func provenance(t *testing.T, b attest.Build, subjects ...attest.Subject) (*intoto.Statement, *v1.Provenance) {
	t.Helper()
	text, err := attest.Provenance(t.Context(), outputs(t), b, subjects)
	if err != nil {
		t.Fatal(err)
	}
	return attesttest.Provenance(t, text)
}

var subject = attest.Subject{Name: "tailscale-arm.tar", SHA256: strings.Repeat("a", 64)}

func TestProvenanceSaysWhatWasBuiltAndHow(t *testing.T) {
	p := product(t, nil)
	s, got := provenance(t, attest.Build{Builder: attest.BuilderCommand, Products: []assembly.Product{p}}, subject, attest.Subject{Name: "second", SHA256: strings.Repeat("b", 64)})
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("the statement is a %s of %s", s.Type, s.PredicateType)
	}
	if len(s.Subject) != 2 || s.Subject[0].Name != subject.Name || s.Subject[0].Digest["sha256"] != subject.SHA256 || s.Subject[1].Name != "second" {
		t.Errorf("the statement is about %v", s.Subject)
	}
	definition := got.BuildDefinition
	if got.RunDetails.Builder.Id != "urn:mikrotik-tailscale:command" || definition.BuildType != "urn:mikrotik-tailscale:build:v1" {
		t.Errorf("built by %s as %s", got.RunDetails.Builder.Id, definition.BuildType)
	}
	external := definition.ExternalParameters.AsMap()
	for name, want := range map[string]any{
		"tailscaleVersion": p.Config.TailscaleVersion, "features": p.Config.Features, "applets": p.Config.Applets.Names(),
		"compression": "launcher", "tag": p.Config.Tag, "epoch": "1970-01-01T00:00:00Z", "busyboxChecksum": p.Config.BusyboxChecksum,
	} {
		if fmt.Sprint(external[name]) != fmt.Sprint(want) {
			t.Errorf("%s is %v; want %v", name, external[name], want)
		}
	}
	internal := definition.InternalParameters.AsMap()
	if tags := fmt.Sprint(internal["tags"]); tags != "[ts_include_cli ts_omit_ssh]" {
		t.Errorf("tags: %s", tags)
	}
	if from := fmt.Sprint(internal["packagesFrom"]); from != fmt.Sprint([]string{recipe.OriginSnapshot, recipe.OriginArchive}) {
		t.Errorf("packages are from %s", from)
	}
}

func TestProvenanceDescribesEveryStage(t *testing.T) {
	p := product(t, nil)
	_, got := provenance(t, attest.Build{Builder: attest.BuilderEngine, Products: []assembly.Product{p, p}}, subject)
	if got.RunDetails.Builder.Id != "urn:mikrotik-tailscale:dagger" {
		t.Errorf("the builder is %s", got.RunDetails.Builder.Id)
	}
	text, err := json.Marshal(got.BuildDefinition.InternalParameters.AsMap()["stages"])
	if err != nil {
		t.Fatal(err)
	}
	var stages []struct {
		Name, Base, Output string
		Packages           []string
		Env                []recipe.Variable
		Files              []recipe.File
		Inputs             map[string]string
		Network            bool
		Steps              [][]string
	}
	if err := json.Unmarshal(text, &stages); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range stages {
		for _, from := range s.Inputs {
			if !slices.Contains(names, from) {
				t.Errorf("%s takes what %s made, which does not come before it", s.Name, from)
			}
		}
		names = append(names, s.Name)
		if s.Name != "busybox arm" {
			continue
		}
		want := recipe.Busybox(p.Target, p.Config)
		if s.Base != string(want.Base) || s.Output != want.Output || s.Network || !slices.Equal(s.Packages, want.Packages.Names) ||
			!slices.Equal(s.Env, want.Env) || !slices.Equal(s.Files, want.Files) || fmt.Sprint(s.Steps) != fmt.Sprint(want.Steps) ||
			fmt.Sprint(s.Inputs) != "map[busybox.tar:busybox-configured musl.tar:musl arm]" {
			t.Errorf("busybox is described as %+v", s)
		}
	}
	for _, want := range []string{"features", "tailscale arm", "busybox arm", "busybox-source", "musl arm", "7zip-source", "compress busybox arm", "compress tailscale arm"} {
		if n := strings.Count("\n"+strings.Join(names, "\n")+"\n", "\n"+want+"\n"); n != 1 {
			t.Errorf("%d stages are called %q: %q", n, want, names)
		}
	}
}

func TestProvenanceListsEverythingThatWentIn(t *testing.T) {
	image := "golang:1.26.8-trixie@sha256:" + strings.Repeat("c", 64)
	for compression, packer := range map[recipe.Compression]string{
		recipe.CompressionLauncher: "pkg:generic/7zip@" + recipe.SevenZipVersion + " " + recipe.SevenZipChecksum, recipe.CompressionUPX: "",
	} {
		p := product(t, func(c *recipe.Config) { c.Compression = compression })
		_, got := provenance(t, attest.Build{Builder: attest.BuilderEngine, Products: []assembly.Product{p}, Images: []string{image}}, subject)
		var lines []string
		for _, d := range got.BuildDefinition.ResolvedDependencies {
			lines = append(lines, strings.TrimSpace(d.Uri+" "+d.Digest["sha256"]))
		}
		want := []string{
			"pkg:golang/tailscale.com@v" + recipe.TailscaleVersion,
			"pkg:golang/std@1.26.8",
			"pkg:generic/busybox@" + recipe.BusyboxVersion + " " + p.Config.BusyboxChecksum,
			"pkg:generic/musl@" + recipe.MuslVersion + " " + recipe.MuslChecksum,
			packer,
			"docker://golang:1.26.8-trixie " + strings.Repeat("c", 64),
			"pkg:deb/debian/apt@3.0.3?arch=amd64&distro=trixie",
			"pkg:deb/debian/ca-certificates@20250419?arch=all&distro=trixie",
			"pkg:deb/debian/libgcc-14-dev-armhf-cross@14.2.0-19cross1?arch=all&distro=trixie",
			"pkg:deb/debian/libgcc-14-dev@14.2?arch=amd64&distro=trixie",
			"pkg:deb/debian/upx-ucl@4.2.4-1?arch=amd64&distro=trixie",
		}
		want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
		if !slices.Equal(lines, want) {
			t.Errorf("%s: went in:\n%s\nwant\n%s", compression, strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	}
}

// The files next to tarballs are one SBOM and one symbols file for each, the provenance, and the checksums.
func TestWhatStandsBesideTarballs(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*recipe.Config)
		want   []string
	}{
		"stripped":     {nil, []string{"tailscale-arm.cdx.json", "tailscale-arm.symbols", "provenance.json", "SHA256SUMS"}},
		"with symbols": {func(c *recipe.Config) { c.KeepSymbols = true }, []string{"tailscale-arm.cdx.json", "provenance.json", "SHA256SUMS"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := product(t, c.change)
			files, err := attest.Files(t.Context(), outputs(t), attest.Build{Builder: attest.BuilderCommand, Products: []assembly.Product{p}}, []attest.Subject{subject})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			sums := subject.SHA256 + "  " + subject.Name + "\n"
			for _, f := range files {
				names = append(names, f.Name)
				if f.Name != "provenance.json" && f.Name != "SHA256SUMS" {
					sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(f.Content)), f.Name)
				}
			}
			if !slices.Equal(names, c.want) {
				t.Fatalf("files are %q; want %q", names, c.want)
			}
			if got := files[len(files)-1].Content; got != sums {
				t.Errorf("SHA256SUMS is\n%s\nwant\n%s", got, sums)
			}
			if files[0].Content != sbom(t, p) || !strings.Contains(files[len(files)-2].Content, subject.SHA256) {
				t.Error("a file has the content of another")
			}
			if c.change == nil && !strings.Contains(files[1].Content, "symbols") {
				t.Errorf("the symbols are %q", files[1].Content)
			}
		})
	}
}

// Every error names the attestation and the platform.
func TestWhatCannotBeAttested(t *testing.T) {
	failing := func(stage string) assembly.StageRunner {
		all := outputs(t)
		return func(ctx context.Context, s recipe.Stage) (string, error) {
			if s.Name == stage {
				return "", errors.New("no disk")
			}
			return all(ctx, s)
		}
	}
	missing := func(context.Context, recipe.Stage) (string, error) { return filepath.Join(t.TempDir(), "none"), nil }
	empty := filepath.Join(t.TempDir(), "packages")
	if err := os.WriteFile(empty, []byte(recipe.OriginArchive+"\napt amd64 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := product(t, nil)
	noProgram, noRootfs := p, p
	noProgram.Programs = map[string]string{"tailscale": empty}
	noRootfs.Rootfs = filepath.Join(t.TempDir(), "none")
	build := func(p assembly.Product) attest.Build {
		return attest.Build{Builder: attest.BuilderEngine, Products: []assembly.Product{p}}
	}
	symbols := recipe.Stage{}
	if s, ok := p.Symbols(); ok {
		symbols = s
	}
	for name, c := range map[string]struct {
		try  func() error
		want string
	}{
		"no list of packages":      {func() error { _, err := attest.SBOM(t.Context(), failing("packages"), p); return err }, "writing the SBOM of the image for arm: no disk"},
		"a list that is not there": {func() error { _, err := attest.SBOM(t.Context(), missing, p); return err }, "reading the packages of"},
		"packages that are not installed": {func() error {
			_, err := attest.SBOM(t.Context(), func(context.Context, recipe.Stage) (string, error) { return empty, nil }, p)
			return err
		}, "no installed Debian package contains libgcc"},
		"no Go program":              {func() error { _, err := attest.SBOM(t.Context(), outputs(t), noProgram); return err }, "writing the SBOM of the image for arm: "},
		"no root directory":          {func() error { _, err := attest.SBOM(t.Context(), outputs(t), noRootfs); return err }, "no such file"},
		"no symbols":                 {func() error { _, err := attest.Symbols(t.Context(), failing(symbols.Name), p); return err }, "no disk"},
		"symbols that are not there": {func() error { _, err := attest.Symbols(t.Context(), missing, p); return err }, "reading the symbols for arm"},
		"beside: no packages":        {func() error { _, err := attest.Files(t.Context(), failing("packages"), build(p), nil); return err }, "no disk"},
		"beside: no symbols":         {func() error { _, err := attest.Files(t.Context(), failing(symbols.Name), build(p), nil); return err }, "no disk"},
		"beside: an image without digest": {func() error {
			b := build(p)
			b.Images = []string{"debian:trixie-slim"}
			_, err := attest.Files(t.Context(), outputs(t), b, []attest.Subject{subject})
			return err
		}, "writing the provenance: the base image debian:trixie-slim has no digest"},
		"provenance: no packages": {func() error {
			_, err := attest.Provenance(t.Context(), failing("packages"), build(p), []attest.Subject{subject})
			return err
		}, "writing the provenance: no disk"},
		"provenance about nothing": {func() error { _, err := attest.Provenance(t.Context(), outputs(t), build(p), nil); return err }, "subject"},
		"provenance without builder": {func() error {
			b := build(p)
			b.Builder = ""
			_, err := attest.Provenance(t.Context(), outputs(t), b, []attest.Subject{subject})
			return err
		}, "builder"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.try(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want %q", err, c.want)
			}
		})
	}
}
