package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dagger/mikrotik-tailscale/platform"
)

// Source is a published release, and the credentials to read it.
type Source struct {
	access
	reference name.Reference
}

// NewSource checks the address of a published release: a tag, a digest or both. Username and password must both be
// set, or neither. Plain HTTP is only used if insecure is set, and for registries on this machine.
func NewSource(from, username, password string, insecure bool) (Source, error) {
	var problems []error
	reference, err := name.ParseReference(from, nameOptions(insecure)...)
	if err != nil {
		problems = append(problems, malformed(from, "registry/repository:tag or registry/repository@sha256:digest", err))
	}
	s := Source{reference: reference}
	if s.access, err = newAccess(username, password); err != nil {
		problems = append(problems, err)
	}
	return s, errors.Join(problems...)
}

// WithKeychain returns the source with the keychain's credentials for its registry. A source that has credentials
// keeps them.
func (s Source) WithKeychain(ctx context.Context, keychain authn.Keychain) (_ Source, err error) {
	s.access, err = s.with(ctx, keychain, s.reference.Context())
	return s, err
}

// Published is a release in a registry. Its images are in the order of the index.
type Published struct {
	// Reference is the repository with the digest of the index.
	Reference string
	// Digest is the sha256 of the index, in hexadecimal.
	Digest string
	Images []Image
	// Attached are the attachments of the index.
	Attached []Attachment
}

// Pull reads the index of a published release, its images, and their attachments of the given media types. A layer is
// only downloaded when it is read. If rt is nil, Pull uses the default transport.
func Pull(ctx context.Context, s Source, types []string, rt http.RoundTripper) (Published, error) {
	p, err := pull(s, types, s.options(ctx, rt))
	if err != nil {
		err = fmt.Errorf("reading %s: %w", s.reference, s.explained(err))
	}
	return p, err
}

func pull(s Source, types []string, options []remote.Option) (Published, error) {
	found, err := remote.Get(s.reference, options...)
	if err != nil {
		return Published{}, err
	}
	if !found.MediaType.IsIndex() {
		return Published{}, fmt.Errorf("it is the image of one platform or something else (%s): want the address of the index, which has no platform in its tag", found.MediaType)
	}
	repository := s.reference.Context()
	p := Published{Reference: repository.Digest(found.Digest.String()).String(), Digest: found.Digest.Hex}
	index, err := found.ImageIndex()
	if err != nil {
		return p, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return p, err
	}
	if p.Attached, err = attachmentsOf(repository, found.Digest, types, options); err != nil {
		return p, err
	}
	for _, d := range manifest.Manifests {
		i := Image{}
		if i.Target, err = targetOf(d); err != nil {
			return p, err
		}
		if i.Image, err = index.Image(d.Digest); err != nil {
			return p, err
		}
		if i.Attached, err = attachmentsOf(repository, d.Digest, types, options); err != nil {
			return p, err
		}
		p.Images = append(p.Images, i)
	}
	return p, nil
}

// targetOf returns the platform of an image in an index.
func targetOf(d v1.Descriptor) (platform.Target, error) {
	if d.Platform != nil {
		for _, t := range platform.All() {
			if t.OS == d.Platform.OS && t.Architecture == d.Platform.Architecture && t.Variant == d.Platform.Variant {
				return t, nil
			}
		}
	}
	return platform.Target{}, fmt.Errorf("the index has an image for the platform %v, which this program does not build", d.Platform)
}

// largestAttachment is far larger than anything that Push attaches.
const largestAttachment = 64 << 20

// attachmentsOf reads the attachments of a digest that have one of the given media types, which a registry lists as
// artifact types.
func attachmentsOf(repository name.Repository, digest v1.Hash, types []string, options []remote.Option) ([]Attachment, error) {
	list, err := remote.Referrers(repository.Digest(digest.String()), options...)
	if err != nil {
		return nil, fmt.Errorf("listing the attachments: %w", err)
	}
	manifest, err := list.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("listing the attachments: %w", err)
	}
	var all []Attachment
	for _, d := range manifest.Manifests {
		if !slices.Contains(types, d.ArtifactType) {
			continue
		}
		a, err := read(repository.Digest(d.Digest.String()), options)
		if err != nil {
			return nil, fmt.Errorf("reading the attachment %s: %w", d.Digest, err)
		}
		a.Type = d.ArtifactType
		all = append(all, a)
	}
	return all, nil
}

// read reads an attachment. The library checks the digests.
func read(reference name.Digest, options []remote.Option) (Attachment, error) {
	found, err := remote.Get(reference, options...)
	if err != nil {
		return Attachment{}, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(found.Manifest))
	if err != nil {
		return Attachment{}, err
	}
	if len(manifest.Layers) != 1 {
		return Attachment{}, fmt.Errorf("it has %d layers: want one", len(manifest.Layers))
	}
	if size := manifest.Layers[0].Size; size > largestAttachment {
		return Attachment{}, fmt.Errorf("it has %d bytes: want at most %d", size, largestAttachment)
	}
	layer, err := remote.Layer(reference.Digest(manifest.Layers[0].Digest.String()), options...)
	if err != nil {
		return Attachment{}, err
	}
	content, err := layer.Compressed()
	if err != nil {
		return Attachment{}, err
	}
	defer func() { _ = content.Close() }()
	var text strings.Builder
	_, err = io.Copy(&text, io.LimitReader(content, largestAttachment))
	return Attachment{Text: text.String(), Annotations: manifest.Annotations}, err
}
