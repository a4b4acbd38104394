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

// Destination is where images go, and as whom.
type Destination struct {
	access
	reference name.Tag
	tags      []name.Tag
}

// NewDestination checks an address and further tags of the same repository. An address that
// names no tag gets the version. Username and password come together or not at all. Plain HTTP is
// used when insecure is set, and for registries on this machine.
func NewDestination(to, version string, tags []string, username, password string, insecure bool) (Destination, error) {
	options := []name.Option{name.StrictValidation}
	if insecure {
		options = append(options, name.Insecure)
	}
	var problems []error
	reference, err := name.NewTag(withTag(to, version), options...)
	if err != nil {
		problems = append(problems, fmt.Errorf("malformed address %q: registry/repository or registry/repository:tag is wanted: %s", address.Redact(to), address.Hide(err.Error(), to)))
	}
	d := Destination{reference: reference}
	repository := reference.Context().Name()
	if err != nil {
		repository = "registry.example/any" // the tags are not to be blamed for the address
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

// withTag adds a tag to an address that has none.
func withTag(address, tag string) string {
	if strings.Contains(address[strings.LastIndex(address, "/")+1:], ":") {
		return address
	}
	return address + ":" + tag
}

// Image is the image of one platform, and what is attached to it.
type Image struct {
	Target   platform.Target
	Image    v1.Image
	Attached []Attachment
}

// Release is what is published under one tag: one multi-platform index of images.
type Release struct {
	index    v1.ImageIndex
	images   []Image
	attached []Attachment
}

// NewRelease makes one multi-platform index of the images. Everything is of the OCI types, which
// RouterOS pulls since 7.10, and layers are compressed with gzip, the one form that all of its
// versions take. The same images give the same index.
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

// Images are the images of the platforms.
func (r *Release) Images() []Image { return r.images }

// Digest is the sha256 of the index, in hexadecimal.
func (r *Release) Digest() (string, error) {
	digest, err := r.index.Digest()
	if err != nil {
		return "", fmt.Errorf("naming what was published: %w", err)
	}
	return digest.Hex, nil
}

// Attach adds something that is attached to the index.
func (r *Release) Attach(a Attachment) { r.attached = append(r.attached, a) }

// compressed gives the image with layers in gzip. Its configuration, and so its ID, stays.
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

// Push pushes a release under the destination's tags, and each platform's image under the same
// tags with the platform's name behind them, since some boards choose wrongly from an index: those
// with ARMv5 call themselves arm, too. It gives the reference of the index with its digest. Tags are set once
// everything is attached, so that a push that fails leaves the tags as they were.
//
// What the registry has already is not pushed again. A transport of nil is the usual one.
func Push(ctx context.Context, d Destination, r *Release, rt http.RoundTripper) (string, error) {
	if err := push(ctx, d, r, rt); err != nil {
		return "", d.explained(err)
	}
	return Reference(d, r)
}

// push names the release last: a tag that is there stands for a release with all that is attached to it.
func push(ctx context.Context, d Destination, r *Release, rt http.RoundTripper) error {
	options := d.options(ctx, rt)
	pusher, err := remote.NewPusher(options...)
	if err != nil {
		return fmt.Errorf("pushing %s: %w", d.reference, err)
	}
	digest, err := r.index.Digest()
	if err != nil {
		return fmt.Errorf("naming what is published: %w", err)
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
		return fmt.Errorf("naming what was published: %w", err)
	}
	for _, a := range attached {
		if err := attach(d.reference.Context(), *subject, a, options); err != nil {
			return err
		}
	}
	return nil
}

// Reference is what a release is known by once it is pushed: the address with the digest.
func Reference(d Destination, r *Release) (string, error) {
	digest, err := r.Digest()
	if err != nil {
		return "", err
	}
	return d.reference.Name() + "@sha256:" + digest, nil
}
