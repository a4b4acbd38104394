package publish

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// Contents lists everything that a release puts into a repository.
type Contents struct {
	Repository string `json:"repository"`
	// Reference is the address of the index, with its digest.
	Reference string         `json:"reference"`
	Digest    string         `json:"digest"`
	Tags      []string       `json:"tags"`
	Attached  []Part         `json:"attached"`
	Images    []ImageContent `json:"images"`
}

// ImageContent is the image of one platform in a repository.
type ImageContent struct {
	Platform          string   `json:"platform"`
	ContainerPlatform string   `json:"container_platform"`
	Digest            string   `json:"digest"`
	Tags              []string `json:"tags"`
	// Size is the number of bytes that a router downloads: manifest, configuration and layer.
	Size     int64  `json:"size"`
	Attached []Part `json:"attached"`
}

// Part is an attachment in a repository.
type Part struct {
	Type string `json:"type"`
	// Predicate is the predicate type of a signed statement.
	Predicate string `json:"predicate,omitempty"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// ContentsOf returns what Push puts where.
func ContentsOf(d Destination, r *Release) (c Contents, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("listing what is published: %w", err)
		}
	}()
	digest, err := r.Digest()
	if err != nil {
		return c, err
	}
	if c.Reference, err = Reference(d, r); err != nil {
		return c, err
	}
	c.Repository, c.Digest = d.reference.Context().Name(), "sha256:"+digest
	for _, tag := range d.all() {
		c.Tags = append(c.Tags, tag.TagStr())
	}
	if c.Attached, err = partsOf(r.index, r.attached); err != nil {
		return c, err
	}
	for _, i := range r.images {
		content, err := contentOf(d, i)
		if err != nil {
			return c, err
		}
		c.Images = append(c.Images, content)
	}
	return c, nil
}

func contentOf(d Destination, i Image) (ImageContent, error) {
	c := ImageContent{Platform: i.Target.Name, ContainerPlatform: i.Target.Platform()}
	for _, tag := range d.all() {
		c.Tags = append(c.Tags, own(tag, i).TagStr())
	}
	manifest, err := i.Image.Manifest()
	if err != nil {
		return c, err
	}
	descriptor, err := partial.Descriptor(i.Image)
	if err != nil {
		return c, err
	}
	c.Digest, c.Size = descriptor.Digest.String(), descriptor.Size+manifest.Config.Size
	for _, l := range manifest.Layers {
		c.Size += l.Size
	}
	c.Attached, err = partsOf(i.Image, i.Attached)
	return c, err
}

func partsOf(subject partial.Describable, attached []Attachment) ([]Part, error) {
	descriptor, err := partial.Descriptor(subject)
	if err != nil {
		return nil, err
	}
	var parts []Part
	for _, a := range attached {
		m, err := a.referrer(*descriptor)
		if err != nil {
			return nil, err
		}
		digest, err := partial.Digest(m)
		if err != nil {
			return nil, err
		}
		parts = append(parts, Part{Type: a.Type, Predicate: a.Annotations[predicateAnnotation], Digest: digest.String(), Size: int64(len(a.Text))})
	}
	return parts, nil
}

// Table returns the contents for people.
func (c Contents) Table() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(what, digest string, size int64, more string) {
		bytes := ""
		if size > 0 {
			bytes = fmt.Sprintf("%d bytes", size)
		}
		text := fmt.Sprintf("%s\t%s\t%s\t%s", what, digest, bytes, more)
		_, _ = fmt.Fprintln(table, text)
	}
	attached := func(parts []Part) {
		for _, p := range parts {
			line("  "+p.Type, p.Digest, p.Size, p.Predicate)
		}
	}
	line("index", c.Digest, 0, strings.Join(c.Tags, ", "))
	attached(c.Attached)
	for _, i := range c.Images {
		line(i.ContainerPlatform, i.Digest, i.Size, strings.Join(i.Tags, ", "))
		attached(i.Attached)
	}
	_ = table.Flush()
	var text strings.Builder
	for line := range strings.Lines(b.String()) {
		text.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return text.String()
}

// all returns the tags of the index.
func (d Destination) all() []name.Tag { return append([]name.Tag{d.reference}, d.tags...) }

// own returns the tag of a platform's image that belongs to a tag of the index.
func own(tag name.Tag, i Image) name.Tag {
	return tag.Context().Tag(tag.TagStr() + "-" + i.Target.Name)
}
