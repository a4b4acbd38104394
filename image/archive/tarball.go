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

// WriteTarball writes the image in the layout that "docker save" used before it changed to the OCI layout:
// manifest.json, repositories, the configuration as ID.json and the uncompressed layer as ID/layer.tar, all with the
// time 1970. RouterOS imports this layout from a file, but not the OCI layout.
//
// A tag without a version gets the version "latest".
func WriteTarball(w io.Writer, img v1.Image, tag name.Tag) error {
	full := tag.String()
	if !strings.HasSuffix(full, ":"+tag.TagStr()) {
		// Otherwise the writer names the image without a version, and no loader accepts that.
		full += ":" + tag.TagStr()
	}
	tag, err := name.NewTag(full)
	if err != nil {
		return fmt.Errorf("naming the image in its tarball: %w", err)
	}
	// The library ignores errors when it writes the last bytes. The buffer keeps such an error for Flush.
	buffer := bufio.NewWriter(w)
	if err := tarball.Write(tag, img, buffer); err != nil {
		return fmt.Errorf("writing the tarball of %s: %w", tag, err)
	}
	if err := buffer.Flush(); err != nil {
		return fmt.Errorf("writing the tarball of %s: %w", tag, err)
	}
	return nil
}
