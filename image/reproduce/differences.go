package reproduce

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// packing is the difference between images with the same files and configuration.
const packing = "the files and the configuration are the same, but not how they are packed: the layer may have been compressed by another Go release, or annotations differ"

// differences returns the differences between two images, in their files and in their configuration.
func differences(published, again v1.Image) ([]string, error) {
	theirs, err := entriesOf(published)
	if err != nil {
		return nil, fmt.Errorf("reading the published files: %w", err)
	}
	ours, err := entriesOf(again)
	if err != nil {
		return nil, err
	}
	lines := compared("/", theirs, ours)
	theirConfig, err := configOf(published)
	if err != nil {
		return nil, fmt.Errorf("reading the published configuration: %w", err)
	}
	ourConfig, err := configOf(again)
	if err != nil {
		return nil, err
	}
	lines = append(lines, compared("configuration: ", theirConfig, ourConfig)...)
	if len(lines) == 0 {
		lines = []string{packing}
	}
	return lines, nil
}

// compared returns a line for each difference between two maps.
func compared(prefix string, theirs, ours map[string]string) []string {
	both := maps.Clone(theirs)
	maps.Copy(both, ours)
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(both)) {
		published, there := theirs[name]
		rebuilt, here := ours[name]
		switch {
		case !here:
			lines = append(lines, fmt.Sprintf("%s%s is only published: %s", prefix, name, published))
		case !there:
			lines = append(lines, fmt.Sprintf("%s%s is only rebuilt: %s", prefix, name, rebuilt))
		case published != rebuilt:
			lines = append(lines, fmt.Sprintf("%s%s is published as %s, rebuilt as %s", prefix, name, published, rebuilt))
		}
	}
	return lines
}

// entriesOf describes every entry of an image's layers, by path.
func entriesOf(img v1.Image) (map[string]string, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, l := range layers {
		if err := readLayer(l, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func readLayer(l v1.Layer, into map[string]string) (err error) {
	content, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	archive := tar.NewReader(content)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, archive); err != nil {
			return err
		}
		text := fmt.Sprintf("mode %o, time %d, user %d:%d", h.Mode, h.ModTime.Unix(), h.Uid, h.Gid)
		switch h.Typeflag {
		case tar.TypeReg:
			text = fmt.Sprintf("%d bytes, sha256 %s, %s", h.Size, hex.EncodeToString(sum.Sum(nil)), text)
		case tar.TypeDir:
			text = "a directory, " + text
		default:
			text = fmt.Sprintf("of the type %q with the target %q, %s", h.Typeflag, h.Linkname, text)
		}
		into[h.Name] = text
	}
}

// configOf flattens the configuration of an image, without the digests of its layers.
func configOf(img v1.Image) (map[string]string, error) {
	text, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	delete(config, "rootfs")
	all := map[string]string{}
	flatten("", config, all)
	return all, nil
}

func flatten(prefix string, value any, into map[string]string) {
	if object, ok := value.(map[string]any); ok && len(object) > 0 {
		for name, v := range object {
			flatten(prefix+"."+name, v, into)
		}
		return
	}
	text, _ := json.Marshal(value) // it was JSON
	if prefix != "" {
		into[prefix[1:]] = string(text)
	}
}
