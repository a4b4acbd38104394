package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/sourcegraph/conc/iter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/recipe"
)

// ProvenanceType is the media type of a provenance statement.
const ProvenanceType = "application/vnd.in-toto+json"

// ProvenanceName is the file name of a build's provenance statement.
const ProvenanceName = "provenance.json"

// The two builders, as named in the provenance.
const (
	BuilderEngine  = "urn:" + recipe.Title + ":dagger"
	BuilderCommand = "urn:" + recipe.Title + ":command"
)

// PredicateProvenance is the predicate type of a provenance statement.
const PredicateProvenance = "https://slsa.dev/provenance/v1"

// buildType names the format of the parameters. Change it when the format changes.
const buildType = "urn:" + recipe.Title + ":build:v1"

// imageURI is the prefix of a container image's URI.
const imageURI = "docker://"

// extraField is the external parameter for the user's own files. All others are fields of recipe.Config.
const extraField = "extra"

// Subject is a file or image that a provenance statement describes.
type Subject struct{ Name, SHA256 string }

// Build is the build that a provenance statement describes.
type Build struct {
	Builder string
	// Products all have the same configuration.
	Products []assembly.Product
	// Images are the base images of the stages, each with its digest.
	Images []string
}

// Provenance returns a statement on how the subjects were built: the configuration, every stage with its exact steps,
// and all dependencies with versions and checksums. It is not signed.
func Provenance(ctx context.Context, run assembly.StageRunner, b Build, subjects []Subject) (string, error) {
	text, err := statement(ctx, run, b, subjects)
	if err != nil {
		return "", fmt.Errorf("writing the provenance: %w", err)
	}
	return text, nil
}

func statement(ctx context.Context, run assembly.StageRunner, b Build, subjects []Subject) (string, error) {
	stages := stagesOf(b)
	installed, err := installedFor(ctx, run, stages)
	if err != nil {
		return "", err
	}
	dependencies, err := dependenciesOf(b, installed)
	if err != nil {
		return "", err
	}
	config, resolved := b.Products[0].Config, b.Products[0].Resolved
	external, err := toStruct(config)
	if err != nil {
		return "", err
	}
	if extra := b.Products[0].Extra; len(extra) > 0 {
		files, err := toStruct(extra)
		if err != nil {
			return "", err
		}
		external.Fields[extraField] = structpb.NewStructValue(files)
	}
	internal, err := toStruct(map[string]any{
		"tags": strings.Split(resolved.Tags, ","), "stages": described(stages), "packagesFrom": originsOf(installed),
	})
	if err != nil {
		return "", err
	}
	p := &provenance.Provenance{
		BuildDefinition: &provenance.BuildDefinition{
			BuildType: buildType, ExternalParameters: external, InternalParameters: internal,
			ResolvedDependencies: dependencies,
		},
		RunDetails: &provenance.RunDetails{Builder: &provenance.Builder{Id: b.Builder}},
	}
	if err := p.Validate(); err != nil {
		return "", err
	}
	predicate, err := protojson.Marshal(p)
	if err != nil {
		return "", err
	}
	s := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: PredicateProvenance, Predicate: &structpb.Struct{}}
	if err := protojson.Unmarshal(predicate, s.Predicate); err != nil {
		return "", err
	}
	for _, subject := range subjects {
		s.Subject = append(s.Subject, &intoto.ResourceDescriptor{Name: subject.Name, Digest: map[string]string{"sha256": subject.SHA256}})
	}
	if err := s.Validate(); err != nil {
		return "", err
	}
	text, err := protojson.Marshal(s)
	if err != nil {
		return "", err
	}
	// protojson varies its whitespace on purpose.
	var out bytes.Buffer
	err = json.Indent(&out, text, "", "  ")
	return out.String() + "\n", err
}

func toStruct(v any) (*structpb.Struct, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	s := &structpb.Struct{}
	return s, protojson.Unmarshal(text, s)
}

// stagesOf returns every stage of a build once, each after the stages of its inputs.
func stagesOf(b Build) []recipe.Stage {
	var all []recipe.Stage
	var add func(recipe.Stage)
	add = func(s recipe.Stage) {
		if slices.ContainsFunc(all, func(o recipe.Stage) bool { return o.Title() == s.Title() }) {
			return
		}
		for _, in := range s.Inputs {
			if in.Stage != nil {
				add(*in.Stage)
			}
		}
		all = append(all, s)
	}
	add(recipe.ResolveFeatures(b.Products[0].Config))
	for _, p := range b.Products {
		for _, e := range p.Entries() {
			if e.Stage != nil {
				add(*e.Stage)
			}
		}
	}
	return all
}

// ownFile replaces the name of a stage in the provenance if the input is the user's own file.
const ownFile = "(a file of the user's)"

// described returns the stages for the provenance, with the names of their inputs instead of the inputs themselves.
func described(stages []recipe.Stage) []map[string]any {
	var all []map[string]any
	for _, s := range stages {
		inputs := map[string]string{}
		for _, in := range s.Inputs {
			inputs[in.Name] = ownFile
			if in.Stage != nil {
				inputs[in.Name] = in.Stage.Title()
			}
		}
		all = append(all, map[string]any{
			"name": s.Title(), "base": s.Base, "packages": s.Packages.Names, "env": s.Env, "files": s.Files,
			"inputs": inputs, "network": s.Network, "steps": s.Steps, "output": s.Output,
		})
	}
	return all
}

// installedFor returns the packages in the Debian roots that stages start from. Stages with the same packages start
// from the same root. Go stages are left out, because their output only depends on the Go compiler.
func installedFor(ctx context.Context, run assembly.StageRunner, stages []recipe.Stage) ([]installation, error) {
	var roots []recipe.Stage
	for _, s := range stages {
		same := func(o recipe.Stage) bool { return slices.Equal(o.Packages.Names, s.Packages.Names) }
		if s.Base == recipe.BaseDebian && !slices.ContainsFunc(roots, same) {
			roots = append(roots, s)
		}
	}
	return iter.MapErr(roots, func(s *recipe.Stage) (installation, error) { return installed(ctx, run, *s) })
}

// originsOf returns where the packages of all roots came from.
func originsOf(roots []installation) []string {
	var all []string
	for _, r := range roots {
		all = append(all, r.origin)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func dependenciesOf(b Build, installed []installation) ([]*intoto.ResourceDescriptor, error) {
	c := b.Products[0].Config
	all := []*intoto.ResourceDescriptor{
		{Uri: "pkg:golang/tailscale.com@v" + c.TailscaleVersion},
		{Uri: "pkg:golang/std@" + b.Products[0].Resolved.Go},
		{Uri: "pkg:generic/busybox@" + c.BusyboxVersion, Digest: map[string]string{"sha256": c.BusyboxChecksum}},
		{Uri: muslPURL, Digest: map[string]string{"sha256": recipe.MuslChecksum}},
	}
	if c.Compression == recipe.CompressionLauncher {
		all = append(all, &intoto.ResourceDescriptor{Uri: sevenZipPURL, Digest: map[string]string{"sha256": recipe.SevenZipChecksum}})
	}
	for _, image := range b.Images {
		name, digest, found := strings.Cut(image, "@sha256:")
		if !found {
			return nil, fmt.Errorf("the base image %s has no digest", image)
		}
		all = append(all, &intoto.ResourceDescriptor{Uri: imageURI + name, Digest: map[string]string{"sha256": digest}})
	}
	var purls []string
	for _, root := range installed {
		for _, p := range root.packages {
			purls = append(purls, p.PURL())
		}
	}
	slices.Sort(purls)
	for _, purl := range slices.Compact(purls) {
		all = append(all, &intoto.ResourceDescriptor{Uri: purl})
	}
	return all, nil
}
