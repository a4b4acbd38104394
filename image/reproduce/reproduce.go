// Package reproduce compares a published release with one that was built again from its provenance.
package reproduce

import (
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/platform"
)

// Types are the media types of the attachments that Origin and CheckSignatures read.
var Types = []string{attest.ProvenanceType, signing.BundleType}

// Result is the outcome of a comparison.
type Result struct {
	// Reference is the repository with the digest of the published index.
	Reference string `json:"reference"`
	// Signed is true if a public key was given, and the index and every image have a signature of that key.
	Signed  bool   `json:"signed"`
	Builder string `json:"builder"`
	// Reproduced is true if the rebuilt images have the same digests as the published ones.
	Reproduced bool `json:"reproduced"`
	// Index is the comparison of the index. It is only made if all platforms are built.
	Index  *Comparison  `json:"index,omitempty"`
	Images []Comparison `json:"images"`
	// Causes are differences between the provenance and this build, if the digests differ.
	Causes []string `json:"causes,omitempty"`
}

// Comparison compares two digests.
type Comparison struct {
	Platform  string `json:"platform,omitempty"`
	Published string `json:"published"`
	Rebuilt   string `json:"rebuilt"`
	Same      bool   `json:"same"`
	// Differences lists the differences between the images, one per line.
	Differences []string `json:"differences,omitempty"`
}

// Origin returns the provenance of a published release. Several statements may be attached, for example one from
// Dagger and one from the command. Origin returns the first one that this program understands. With a key, it only
// considers statements with a signature of that key.
func Origin(p publish.Published, key *signing.PublicKey) (attest.Record, error) {
	var statements []string
	for _, a := range p.Attached {
		switch {
		case key == nil && a.Type == attest.ProvenanceType:
			statements = append(statements, a.Text)
		case key != nil && a.Type == signing.BundleType:
			// Bundles of other keys are skipped: anyone who may push can attach one.
			if text, err := key.Open(a.Text); err == nil && signing.IsStatement(text, attest.PredicateProvenance, p.Digest) {
				statements = append(statements, text)
			}
		}
	}
	if len(statements) == 0 {
		problem := "no provenance is attached to the index"
		if key != nil {
			problem = "no provenance that is signed with this key is attached to the index"
		}
		return attest.Record{}, errors.New(problem + ": want an image that the publish command of this program has pushed")
	}
	var problems []error
	for _, text := range statements {
		record, err := attest.ReadProvenance(text)
		if err == nil && !record.IsAbout(p.Digest) {
			err = errors.New("the provenance is about another image")
		}
		if err == nil {
			return record, nil
		}
		problems = append(problems, err)
	}
	return attest.Record{}, errors.Join(problems...)
}

// CheckSignatures returns an error unless the index and every image have a signature of the key.
func CheckSignatures(p publish.Published, key signing.PublicKey) error {
	var problems []error
	if !isSigned(p.Digest, p.Attached, key) {
		problems = append(problems, errors.New("the index has no signature of this key"))
	}
	for _, i := range p.Images {
		digest, err := i.Image.Digest()
		if err != nil {
			return err
		}
		if !isSigned(digest.Hex, i.Attached, key) {
			problems = append(problems, fmt.Errorf("the image for %s has no signature of this key", i.Target))
		}
	}
	return errors.Join(problems...)
}

func isSigned(digest string, attached []publish.Attachment, key signing.PublicKey) bool {
	return slices.ContainsFunc(attached, func(a publish.Attachment) bool {
		if a.Type != signing.BundleType {
			return false
		}
		text, err := key.Open(a.Text)
		return err == nil && signing.IsStatement(text, signing.PredicateSignature, digest)
	})
}

// Compare compares the published images with the images of a rebuilt release, for the platforms of that release. If
// the rebuilt release has all platforms, Compare also compares the index.
func Compare(p publish.Published, again *publish.Release) (Result, error) {
	r := Result{Reference: p.Reference, Reproduced: true, Images: []Comparison{}}
	for _, built := range again.Images() {
		at := slices.IndexFunc(p.Images, func(i publish.Image) bool { return i.Target.Name == built.Target.Name })
		if at < 0 {
			return r, fmt.Errorf("the index has no image for %s", built.Target)
		}
		c, err := compareImages(built.Target, p.Images[at].Image, built.Image)
		if err != nil {
			return r, fmt.Errorf("comparing the images for %s: %w", built.Target, err)
		}
		r.Images = append(r.Images, c)
		r.Reproduced = r.Reproduced && c.Same
	}
	if len(r.Images) == len(p.Images) {
		digest, err := again.Digest()
		if err != nil {
			return r, err
		}
		r.Index = &Comparison{Published: "sha256:" + p.Digest, Rebuilt: "sha256:" + digest, Same: p.Digest == digest}
		r.Reproduced = r.Reproduced && r.Index.Same
	}
	return r, nil
}

func compareImages(t platform.Target, published, again v1.Image) (Comparison, error) {
	theirs, err := published.Digest()
	if err != nil {
		return Comparison{}, err
	}
	ours, err := again.Digest()
	if err != nil {
		return Comparison{}, err
	}
	c := Comparison{Platform: t.Platform(), Published: theirs.String(), Rebuilt: ours.String(), Same: theirs == ours}
	if !c.Same {
		c.Differences, err = differences(published, again)
	}
	return c, err
}
