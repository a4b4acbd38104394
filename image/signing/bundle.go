package signing

import (
	"bytes"
	"encoding/json"
	"fmt"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	envelope "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// BundleType is the media type of a Sigstore bundle: a signed statement with the name of the key.
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// The predicate types that cosign knows.
const (
	// PredicateSignature only says that the signer vouches for the image.
	PredicateSignature = "https://sigstore.dev/cosign/sign/v1"
	// PredicateSBOM is a CycloneDX document.
	PredicateSBOM = "https://cyclonedx.org/bom"
)

// payloadType is the media type of the signed statement.
const payloadType = "application/vnd.in-toto+json"

// Statement returns an in-toto statement about an image. predicate is a JSON object, or "" for an empty one. digest
// is the sha256 of the image's manifest, in hexadecimal.
func Statement(digest, predicateType, predicate string) (string, error) {
	s := &intoto.Statement{
		Type: intoto.StatementTypeUri, PredicateType: predicateType, Predicate: &structpb.Struct{},
		Subject: []*intoto.ResourceDescriptor{{Digest: map[string]string{"sha256": digest}}},
	}
	if predicate != "" {
		if err := protojson.Unmarshal([]byte(predicate), s.Predicate); err != nil {
			return "", fmt.Errorf("reading the predicate %s: %w", predicateType, err)
		}
	}
	return compact(s)
}

// Bundle signs an in-toto statement and returns it as a Sigstore bundle.
func (k Key) Bundle(statement string) (string, error) {
	signature, err := k.sign(dsse.PAE(payloadType, []byte(statement)))
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return compact(&bundle.Bundle{
		MediaType: BundleType,
		VerificationMaterial: &bundle.VerificationMaterial{Content: &bundle.VerificationMaterial_PublicKey{
			PublicKey: &common.PublicKeyIdentifier{Hint: k.hint},
		}},
		Content: &bundle.Bundle_DsseEnvelope{DsseEnvelope: &envelope.Envelope{
			Payload: []byte(statement), PayloadType: payloadType,
			Signatures: []*envelope.Signature{{Sig: signature}},
		}},
	})
}

// compact returns a message as JSON, always in the same form, because protojson varies its whitespace on purpose.
func compact(m proto.Message) (string, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = json.Compact(&out, text)
	return out.String(), err
}
