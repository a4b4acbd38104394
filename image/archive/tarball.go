package archive

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/legacy/tarball"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// WriteTarball writes the image as "docker save" did before it took to the OCI layout: manifest.json,
// repositories, the configuration as ID.json, and the layer, not compressed, as ID/layer.tar, all
// with the time 1970. RouterOS imports this layout from a file, and not the OCI layout.
//
// A tag that leaves its version out gets the version "latest".
func WriteTarball(w io.Writer, img v1.Image, tag name.Tag) error {
	full := tag.String()
	if !strings.HasSuffix(full, ":"+tag.TagStr()) {
		// The writer would otherwise name the image without a version, which no loader takes.
		full += ":" + tag.TagStr()
	}
	tag, err := name.NewTag(full)
	if err != nil {
		return fmt.Errorf("naming the image in its tarball: %w", err)
	}
	// The library drops an error in writing the archive's last bytes; the buffer keeps it for Flush.
	buffer := bufio.NewWriter(w)
	if err := tarball.Write(tag, img, buffer); err != nil {
		return fmt.Errorf("writing the tarball of %s: %w", tag, err)
	}
	if err := buffer.Flush(); err != nil {
		return fmt.Errorf("writing the tarball of %s: %w", tag, err)
	}
	return nil
}
