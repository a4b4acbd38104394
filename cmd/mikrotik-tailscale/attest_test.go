package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"google.golang.org/protobuf/encoding/protojson"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/attest/attesttest"
	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSBOMsFollowTheSchema(t *testing.T) {
	source, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	schema := attesttest.Schema(t)
	buildAllPlatforms(t)
	for _, target := range platform.All() {
		text := read(t, filepath.Join("dist", attest.SBOMName(target)))
		attesttest.Valid(t, schema, text)
		if strings.Contains(text, source) {
			t.Errorf("%s names a directory of this machine", target)
		}
	}
}

// The SBOM is compared with what other programs find in the image.
func TestAnSBOMListsTheContentOfTheImage(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	t.Chdir(t.TempDir())
	extra := t.TempDir()
	if err := os.WriteFile(extra+"/note", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := call(t, "build", "--arch", "arm,arm64", "--compression", "none", "--extra", extra)
	if code != 0 {
		t.Fatal(stderr)
	}
	arm, err := platform.Parse("arm")
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(strings.NewReader(read(t, "dist/"+attest.SBOMName(arm))), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	rootfs := unpack(t, "dist/tailscale-arm.tar")
	versions := map[string]string{}
	for _, c := range *bom.Components {
		versions[c.Name] = c.Version
		if c.Type != cdx.ComponentTypeFile {
			continue
		}
		sum := sha256.Sum256([]byte(read(t, rootfs+c.Name)))
		if want := hex.EncodeToString(sum[:]); (*c.Hashes)[0].Value != want {
			t.Errorf("%s has the sha256 %s; the SBOM has %s", c.Name, want, (*c.Hashes)[0].Value)
		}
	}
	if _, ok := versions["/note"]; !ok {
		t.Error("the extra file is missing")
	}
	modules := 0
	for line := range strings.Lines(tool(t, "go", "version", "-m", rootfs+"/usr/local/bin/tailscaled")) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && fields[0] == "dep" {
			modules++
			if versions[fields[1]] != fields[2] {
				t.Errorf("%s %s is linked; the SBOM has %q", fields[1], fields[2], versions[fields[1]])
			}
		}
	}
	if modules < 20 {
		t.Errorf("only %d modules were found", modules)
	}
	for _, name := range []string{"tailscale.com", "std", "busybox", "musl", "ca-certificates"} {
		if versions[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if versions["upx-ucl"] != "" || versions["7zip"] != "" {
		t.Error("the SBOM lists unpacking code, although nothing was packed")
	}
}

func TestProvenanceDescribesTheBuild(t *testing.T) {
	b := buildAllPlatforms(t)
	statement, p := attesttest.Provenance(t, read(t, "dist/"+attest.ProvenanceName))
	for i, r := range b.Tarballs {
		if s := statement.Subject[i]; s.Name != filepath.Base(r.Path) || s.Digest["sha256"] != r.SHA256 {
			t.Errorf("subject %v; want %s with %s", s, r.Path, r.SHA256)
		}
	}
	if got := p.BuildDefinition.ExternalParameters.Fields["tailscaleVersion"].GetStringValue(); got != recipe.TailscaleVersion {
		t.Errorf("the provenance has Tailscale %q", got)
	}
	var stages []struct {
		Name   string
		Inputs map[string]string
		Steps  [][]string
	}
	text, err := protojson.Marshal(p.BuildDefinition.InternalParameters.Fields["stages"])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &stages); err != nil {
		t.Fatal(err)
	}
	var before []string
	for _, s := range stages {
		if len(s.Steps) == 0 {
			t.Errorf("%s has no steps", s.Name)
		}
		for _, from := range s.Inputs {
			if !slices.Contains(before, from) {
				t.Errorf("%s uses the output of %s, which does not come before it", s.Name, from)
			}
		}
		before = append(before, s.Name)
	}
	if !slices.Contains(before, "compress tailscale armv5") {
		t.Errorf("stages: %v", before)
	}
	found := map[string]bool{}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		name, _, _ := strings.Cut(d.Uri, "@")
		found[name] = true
	}
	for _, name := range []string{"pkg:golang/tailscale.com", "pkg:golang/std", "pkg:generic/busybox", "pkg:generic/7zip", "pkg:generic/musl", "pkg:deb/debian/ca-certificates", "pkg:deb/debian/gcc-14-arm-linux-gnueabi"} {
		if !found[name] {
			t.Errorf("the dependencies lack %s", name)
		}
	}
}

// The budget and the picture show the sizes of the current images.
func TestTheBudgetAndThePictureAreUpToDate(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	stdout, stderr, code := call(t, "sizes", "--json")
	if code != 0 {
		t.Fatal(stderr)
	}
	report, err := size.Parse(stdout)
	if err != nil {
		t.Fatal(err)
	}
	budget, err := size.Budget()
	if err != nil {
		t.Fatal(err)
	}
	if err := size.Check(report, budget); err != nil {
		t.Error(err)
	}
	if err := size.Check(budget, report); err != nil {
		t.Errorf("the images have become smaller, so the budget should, too: %v", err)
	}
	picture, err := budget.SVG()
	if err != nil {
		t.Fatal(err)
	}
	if picture != read(t, root+"/docs/sizes.svg") {
		t.Error("docs/sizes.svg differs from image/size/budget.json")
	}
	readme := read(t, root+"/README.md")
	for _, p := range budget.Platforms {
		if want := thousands(p.Stored); !strings.Contains(readme, want) {
			t.Errorf("README.md lacks the size of the image for %s, %s bytes", p.Name, want)
		}
	}
	if table := report.Table(); !strings.Contains(table, "busybox") || strings.Count(table, "\n") != 17 {
		t.Errorf("the table:\n%s", table)
	}
}

func thousands(n int64) string { return message.NewPrinter(language.English).Sprint(n) }
