// Package publish pushes the images of several platforms to a registry under one tag.
package publish

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe/address"
)

// Destination is where images are pushed to, and with which credentials.
type Destination struct {
	access
	reference name.Tag
	tags      []name.Tag
}

// NewDestination checks an address and additional tags of the same repository. The version is the tag if the address
// has none. Username and password must both be set, or neither. Plain HTTP is only used if insecure is set, and for
// registries on this machine.
func NewDestination(to, version string, tags []string, username, password string, insecure bool) (Destination, error) {
	options := nameOptions(insecure)
	var problems []error
	reference, err := name.NewTag(withTag(to, version), options...)
	if err != nil {
		problems = append(problems, malformed(to, "registry/repository or registry/repository:tag", err))
	}
	d := Destination{reference: reference}
	repository := reference.Context().Name()
	if err != nil {
		repository = "registry.example/any" // so that a wrong address doesn't add errors about the tags
	}
	for _, tag := range tags {
		further, err := name.NewTag(repository+":"+tag, options...)
		if err != nil {
			problems = append(problems, fmt.Errorf("malformed tag %q: %w", tag, err))
		}
		d.tags = append(d.tags, further)
	}
	if d.access, err = newAccess(username, password); err != nil {
		problems = append(problems, err)
	}
	return d, errors.Join(problems...)
}

// nameOptions returns the options to parse an address with.
func nameOptions(insecure bool) []name.Option {
	options := []name.Option{name.StrictValidation}
	if insecure {
		options = append(options, name.Insecure)
	}
	return options
}

// malformed returns the error for an address in another form than the wanted one. It hides a password in the address.
func malformed(text, wanted string, err error) error {
	return fmt.Errorf("malformed address %q: want %s: %s", address.Redact(text), wanted, address.Hide(err.Error(), text))
}

// withTag adds a tag to an address that has none.
func withTag(address, tag string) string {
	if strings.Contains(address[strings.LastIndex(address, "/")+1:], ":") {
		return address
	}
	return address + ":" + tag
}

// Image is the image of one platform with its attachments.
type Image struct {
	Target   platform.Target
	Image    v1.Image
	Attached []Attachment
}

// Release is everything that is published under one tag: a multi-platform index with its images.
type Release struct {
	index    v1.ImageIndex
	images   []Image
	attached []Attachment
}

// NewRelease returns a multi-platform index of the images. All media types are OCI types, which RouterOS pulls since
// 7.10. Layers are compressed with gzip, the only format that all RouterOS versions accept. The same images result in
// the same index.
func NewRelease(images []Image, annotations map[string]string) (*Release, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	r := &Release{index: mutate.Annotations(index, annotations).(v1.ImageIndex)}
	for _, i := range images {
		img, err := compressed(i.Image)
		if err != nil {
			return nil, fmt.Errorf("packing the image for %s: %w", i.Target, err)
		}
		i.Image = mutate.Annotations(img, annotations).(v1.Image)
		r.images = append(r.images, i)
		r.index = mutate.AppendManifests(r.index, mutate.IndexAddendum{
			Add: i.Image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{
				OS: i.Target.OS, Architecture: i.Target.Architecture, Variant: i.Target.Variant,
			}},
		})
	}
	return r, nil
}

// Images returns the images of all platforms.
func (r *Release) Images() []Image { return r.images }

// Digest returns the sha256 of the index, in hexadecimal.
func (r *Release) Digest() (string, error) {
	digest, err := r.index.Digest()
	if err != nil {
		return "", fmt.Errorf("computing the digest of the index: %w", err)
	}
	return digest.Hex, nil
}

// Attach attaches a to the index.
func (r *Release) Attach(a Attachment) { r.attached = append(r.attached, a) }

// compressed returns the image with gzip layers. Its configuration, and so its ID, doesn't change.
func compressed(img v1.Image) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	packed := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	packed = mutate.ConfigMediaType(packed, types.OCIConfigJSON)
	for _, l := range layers {
		layer, err := tarball.LayerFromOpener(l.Uncompressed,
			tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		if packed, err = mutate.AppendLayers(packed, layer); err != nil {
			return nil, err
		}
	}
	return mutate.ConfigFile(packed, config)
}

// Push pushes a release under the destination's tags. It also pushes each platform's image under the same tags with
// the platform's name appended, because some boards choose the wrong image from an index: boards with ARMv5 also call
// themselves arm. Push returns the reference of the index with its digest. The tags are set after everything is
// attached, so a push that fails doesn't change them.
//
// Content that the registry already has is not pushed again. If rt is nil, Push uses the default transport.
func Push(ctx context.Context, d Destination, r *Release, rt http.RoundTripper) (string, error) {
	if err := push(ctx, d, r, rt); err != nil {
		return "", d.explained(err)
	}
	return Reference(d, r)
}

// push sets the tags last, so that a tag always names a release with all its attachments.
func push(ctx context.Context, d Destination, r *Release, rt http.RoundTripper) error {
	options := d.options(ctx, rt)
	pusher, err := remote.NewPusher(options...)
	if err != nil {
		return fmt.Errorf("pushing %s: %w", d.reference, err)
	}
	digest, err := r.index.Digest()
	if err != nil {
		return fmt.Errorf("computing the digest of the index: %w", err)
	}
	// The images of the platforms are pushed with the index.
	if err := pusher.Push(ctx, d.reference.Context().Digest(digest.String()), r.index); err != nil {
		return fmt.Errorf("pushing %s: %w", d.reference, err)
	}
	for _, i := range r.images {
		if err := attachAll(d, i.Image, i.Attached, options); err != nil {
			return err
		}
	}
	if err := attachAll(d, r.index, r.attached, options); err != nil {
		return err
	}
	for _, tag := range d.all() {
		for _, i := range r.images {
			if err := pusher.Push(ctx, own(tag, i), i.Image); err != nil {
				return fmt.Errorf("tagging %s: %w", own(tag, i), err)
			}
		}
		if err := pusher.Push(ctx, tag, r.index); err != nil {
			return fmt.Errorf("tagging %s: %w", tag, err)
		}
	}
	return nil
}

func attachAll(d Destination, to partial.Describable, attached []Attachment, options []remote.Option) error {
	subject, err := partial.Descriptor(to)
	if err != nil {
		return fmt.Errorf("computing the digest: %w", err)
	}
	for _, a := range attached {
		if err := attach(d.reference.Context(), *subject, a, options); err != nil {
			return err
		}
	}
	return nil
}

// Reference returns the address of a pushed release with its digest.
func Reference(d Destination, r *Release) (string, error) {
	digest, err := r.Digest()
	if err != nil {
		return "", err
	}
	return d.reference.Name() + "@sha256:" + digest, nil
}
