package attesttest

import (
	"testing"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Provenance returns the statement in a text, and the provenance in it. It fails the test unless both are valid.
func Provenance(t testing.TB, text string) (*intoto.Statement, *provenance.Provenance) {
	t.Helper()
	var s intoto.Statement
	if err := protojson.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	predicate, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p provenance.Provenance
	if err := protojson.Unmarshal(predicate, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	return &s, &p
}
