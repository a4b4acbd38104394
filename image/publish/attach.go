package publish

import (
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Attachment is a text that is attached to a published image or index as an OCI referrer: a separate manifest that
// names its subject. The subject doesn't change, and a client that pulls it doesn't get the attachment.
type Attachment struct {
	// Type is the media type of the text.
	Type string
	Text string
	// Name is the file name under which programs that download attachments store the text. It may be empty.
	Name string
	// Annotations describe the content, for clients that search the attachments.
	Annotations map[string]string
}

// emptyConfig is the configuration that OCI requires for manifests without one.
var emptyConfig = static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json")

// attach pushes an attachment for a subject that the registry already has.
func attach(repository name.Repository, subject v1.Descriptor, a Attachment, options []remote.Option) error {
	m, err := a.referrer(subject)
	if err != nil {
		return err
	}
	for _, blob := range []v1.Layer{emptyConfig, a.content()} {
		if err := remote.WriteLayer(repository, blob, options...); err != nil {
			return fmt.Errorf("attaching %s to %s: %w", a.Type, subject.Digest, err)
		}
	}
	digest, err := partial.Digest(m)
	if err != nil {
		return err
	}
	reference := repository.Digest(digest.String())
	if _, err := remote.Head(reference, options...); err == nil {
		return nil
	}
	if err := remote.Put(reference, m, options...); err != nil {
		return fmt.Errorf("attaching %s to %s: %w", a.Type, subject.Digest, err)
	}
	return nil
}

func (a Attachment) content() v1.Layer {
	return static.NewLayer([]byte(a.Text), types.MediaType(a.Type))
}

// referrer returns the manifest that attaches a to a subject.
func (a Attachment) referrer(subject v1.Descriptor) (referrer, error) {
	config, err := partial.Descriptor(emptyConfig)
	if err != nil {
		return referrer{}, err
	}
	content, err := partial.Descriptor(a.content())
	if err != nil {
		return referrer{}, err
	}
	if a.Name != "" {
		content.Annotations = map[string]string{"org.opencontainers.image.title": a.Name}
	}
	return referrer{v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: a.Type,
		Subject: &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
		Config:  *config, Layers: []v1.Descriptor{*content}, Annotations: a.Annotations,
	}}, nil
}

// referrer is a manifest that can be pushed.
type referrer struct{ manifest v1.Manifest }

// RawManifest implements remote.Taggable.
func (r referrer) RawManifest() ([]byte, error) { return json.Marshal(r.manifest) }

// MediaType implements remote.Taggable.
func (r referrer) MediaType() (types.MediaType, error) { return r.manifest.MediaType, nil }
