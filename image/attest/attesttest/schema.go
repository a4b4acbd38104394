// Package attesttest checks SBOMs and provenance in tests.
package attesttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema returns CycloneDX's published schema, which the library contains for its own tests.
func Schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	library, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatalf("finding the library of CycloneDX: %v", err)
	}
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{
		"jsf-0.82.schema.json": "jsf-0.82.schemax.json", "spdx.schema.json": "spdx.schema.json", "bom-1.6.schema.json": "bom-1.6.schema.json",
	} {
		text, err := os.Open(filepath.Join(strings.TrimSpace(string(library)), "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(text)
		_ = text.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// Valid fails the test unless a text is an SBOM that follows the schema.
func Valid(t testing.TB, schema *jsonschema.Schema, sbom string) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(sbom))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
}
