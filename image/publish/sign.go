package publish

import (
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/partial"

	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/signing"
)

// sign attaches signatures to a release: one to the index, one to each image, and a signed copy of each attestation.
// The digests of the index and the images don't change.
func (r *Release) sign(k signing.Key) error {
	for i := range r.images {
		signed, err := signatures(k, r.images[i].Image, r.images[i].Attached)
		if err != nil {
			return fmt.Errorf("signing the image for %s: %w", r.images[i].Target, err)
		}
		r.images[i].Attached = append(r.images[i].Attached, signed...)
	}
	signed, err := signatures(k, r.index, r.attached)
	if err != nil {
		return fmt.Errorf("signing the index: %w", err)
	}
	r.attached = append(r.attached, signed...)
	return nil
}

// signatures returns signatures of a subject and of its attestations.
func signatures(k signing.Key, subject partial.Describable, attached []Attachment) ([]Attachment, error) {
	digest, err := subject.Digest()
	if err != nil {
		return nil, err
	}
	statement, err := signing.Statement(digest.Hex, signing.PredicateSignature, "")
	if err != nil {
		return nil, err
	}
	statements := []string{statement}
	for _, a := range attached {
		switch a.Type {
		case attest.SBOMType:
			if statement, err = signing.Statement(digest.Hex, signing.PredicateSBOM, a.Text); err != nil {
				return nil, err
			}
			statements = append(statements, statement)
		case attest.ProvenanceType:
			statements = append(statements, a.Text)
		}
	}
	var all []Attachment
	for _, s := range statements {
		signed, err := bundleOf(k, s)
		if err != nil {
			return nil, err
		}
		all = append(all, signed)
	}
	return all, nil
}

// predicateAnnotation has the predicate type of a signed statement, for clients that search for one type.
const predicateAnnotation = "dev.sigstore.bundle.predicateType"

// bundleOf returns a signed statement as an attachment that cosign finds.
func bundleOf(k signing.Key, statement string) (Attachment, error) {
	var content struct{ PredicateType string }
	if err := json.Unmarshal([]byte(statement), &content); err != nil {
		return Attachment{}, err
	}
	text, err := k.Bundle(statement)
	return Attachment{Type: signing.BundleType, Text: text, Annotations: map[string]string{
		"dev.sigstore.bundle.content": "dsse-envelope", predicateAnnotation: content.PredicateType,
	}}, err
}
