package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"dagger/mikrotik-tailscale/recipe"
)

// Record is the content of a provenance statement.
type Record struct {
	// Builder is BuilderEngine or BuilderCommand.
	Builder string
	// Config is the configuration of the images.
	Config recipe.Config
	// Extra describes the files that the publisher added, in the form of assembly.Fingerprint. The provenance doesn't
	// have their content.
	Extra    map[string]string
	subjects []string
	stages   map[string]map[string]any
	// inputs are the checksums of all dependencies, by name.
	inputs map[string]string
}

// ReadProvenance parses a statement that Provenance has written. If this version of the program doesn't understand a
// field of the configuration, the error names it, because an image built from the rest of the configuration would
// differ. OtherStages compares the stages.
func ReadProvenance(text string) (Record, error) {
	r, err := readProvenance(text)
	if err != nil {
		return r, fmt.Errorf("reading the provenance: %w", err)
	}
	return r, nil
}

func readProvenance(text string) (r Record, err error) {
	var s intoto.Statement
	if err := protojson.Unmarshal([]byte(text), &s); err != nil {
		return r, err
	}
	if s.PredicateType != PredicateProvenance {
		return r, fmt.Errorf("predicateType is %q: want %q", s.PredicateType, PredicateProvenance)
	}
	predicate, err := protojson.Marshal(s.Predicate)
	if err != nil {
		return r, err
	}
	var p provenance.Provenance
	if err := protojson.Unmarshal(predicate, &p); err != nil {
		return r, err
	}
	if err := p.Validate(); err != nil {
		return r, err
	}
	for _, subject := range s.Subject {
		r.subjects = append(r.subjects, subject.Digest["sha256"])
	}
	r.Builder = p.RunDetails.Builder.Id
	d := p.BuildDefinition
	if d.BuildType != buildType {
		return r, fmt.Errorf("buildType is %q: want %q", d.BuildType, buildType)
	}
	external := maps.Clone(d.ExternalParameters.GetFields())
	if extra, found := external[extraField]; found {
		delete(external, extraField)
		if err := fromValue(extra, &r.Extra); err != nil {
			return r, fmt.Errorf("externalParameters.%s: %w", extraField, err)
		}
	}
	if r.Config, err = readConfig(&structpb.Struct{Fields: external}); err != nil {
		return r, err
	}
	if r.stages, err = byName(d.InternalParameters); err != nil {
		return r, err
	}
	r.inputs = map[string]string{}
	for _, input := range d.ResolvedDependencies {
		r.inputs[input.Uri] = input.Digest["sha256"]
	}
	return r, nil
}

// otherVersion is added to errors about a statement that another version of this program has written.
const otherVersion = "the image was published by another version of this program; use that one"

// readConfig parses the configuration. It returns an error unless this program understands all of it, and writes it
// back in the same form.
func readConfig(parameters *structpb.Struct) (c recipe.Config, err error) {
	known, err := toStruct(recipe.Default())
	if err != nil {
		return c, err
	}
	for _, field := range slices.Sorted(maps.Keys(known.GetFields())) {
		if parameters.GetFields()[field] == nil {
			return c, fmt.Errorf("externalParameters.%s is missing: %s", field, otherVersion)
		}
	}
	text, err := protojson.Marshal(parameters)
	if err != nil {
		return c, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return c, fmt.Errorf("externalParameters: %w: %s", err, otherVersion)
	}
	if err := c.Complete(); err != nil {
		return c, fmt.Errorf("externalParameters: %w: %s", err, otherVersion)
	}
	again, err := toStruct(c)
	if err != nil {
		return c, err
	}
	for _, field := range slices.Sorted(maps.Keys(parameters.GetFields())) {
		if got, want := again.AsMap()[field], parameters.AsMap()[field]; !reflect.DeepEqual(got, want) {
			return c, fmt.Errorf("externalParameters.%s is %v, which this program reads as %v: %s", field, want, got, otherVersion)
		}
	}
	return c, nil
}

func fromValue(v *structpb.Value, into any) error {
	text, err := protojson.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// byName returns the stages in the internal parameters by their names.
func byName(parameters *structpb.Struct) (map[string]map[string]any, error) {
	all := map[string]map[string]any{}
	for _, value := range parameters.GetFields()["stages"].GetListValue().GetValues() {
		stage := value.GetStructValue().AsMap()
		name, _ := stage["name"].(string)
		all[name] = stage
	}
	if len(all) == 0 || all[""] != nil {
		return nil, errors.New("internalParameters.stages has no stages, or one without a name")
	}
	return all, nil
}

// IsAbout reports whether the statement describes something with this sha256, in hexadecimal.
func (r Record) IsAbout(sha256 string) bool { return slices.Contains(r.subjects, sha256) }

// OtherStages compares the stages of a build with the stages of the record. Each difference is a line with the name
// of a stage and what differs. The products need neither files nor programs.
func (r Record) OtherStages(b Build) ([]string, error) {
	parameters, err := toStruct(map[string]any{"stages": described(stagesOf(b))})
	if err != nil {
		return nil, err
	}
	here, err := byName(parameters)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, name := range bothKeys(r.stages, here) {
		switch recorded, own := r.stages[name], here[name]; {
		case own == nil:
			lines = append(lines, fmt.Sprintf("stage %q is not in this program", name))
		case recorded == nil:
			lines = append(lines, fmt.Sprintf("stage %q is not in the provenance", name))
		default:
			parts := bothKeys(recorded, own)
			parts = slices.DeleteFunc(parts, func(part string) bool { return reflect.DeepEqual(recorded[part], own[part]) })
			if len(parts) > 0 {
				lines = append(lines, fmt.Sprintf("stage %q has other %s here", name, strings.Join(parts, ", ")))
			}
		}
	}
	return lines, nil
}

// OtherInputs compares the dependencies of a build with those of the record. Container images are left out: only an
// engine uses them, and they don't change any bytes.
func (r Record) OtherInputs(own Record) []string {
	var lines []string
	for _, uri := range bothKeys(r.inputs, own.inputs) {
		recorded, there := r.inputs[uri]
		used, here := own.inputs[uri]
		switch {
		case strings.HasPrefix(uri, imageURI):
		case !here:
			lines = append(lines, uri+" was used then, but not here")
		case !there:
			lines = append(lines, uri+" is used here, but was not then")
		case recorded != used:
			lines = append(lines, fmt.Sprintf("%s had the sha256 %s, and has %s here", uri, recorded, used))
		}
	}
	return lines
}

func bothKeys[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
