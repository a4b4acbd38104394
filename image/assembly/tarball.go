package assembly

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/platform"
)

// TarballName returns the file name of a platform's tarball.
func TarballName(t platform.Target) string { return "tailscale-" + t.Name + ".tar" }

// Tarball describes a tarball that was written.
type Tarball struct {
	archive.FileInfo
	// RootfsSize is the space that the files take on the router, in bytes.
	RootfsSize int64
}

// Write checks the root filesystem, turns it into an image and writes the image as a tarball into a directory. It
// returns the tarball's path.
func (p Product) Write(ctx context.Context, directory string) (string, Tarball, error) {
	img, err := p.Image()
	if err != nil {
		return "", Tarball{}, err
	}
	ref, err := name.NewTag(p.Config.Tag)
	if err != nil {
		return "", Tarball{}, fmt.Errorf("naming the image: %w", err)
	}
	size, err := Size(p.Rootfs)
	if err != nil {
		return "", Tarball{}, err
	}
	path := filepath.Join(directory, TarballName(p.Target))
	info, err := archive.WriteFile(ctx, path, func(w io.Writer) error { return archive.WriteTarball(w, img, ref) })
	return path, Tarball{FileInfo: info, RootfsSize: size}, err
}

// Image returns an image of the root filesystem, after checking that the platform can run every binary in it.
func (p Product) Image() (v1.Image, error) {
	config := p.ImageConfig()
	if err := verify.Tree(p.Rootfs, p.Target, volumes(config)...); err != nil {
		return nil, fmt.Errorf("checking the root filesystem for %s: %w", p.Target, err)
	}
	layer, err := archive.Layer(p.Rootfs, p.Config.Epoch)
	if err != nil {
		return nil, err
	}
	return archive.Image(layer, p.Target, config, p.Config.Epoch)
}

// volumes returns the directories that outlive a container.
func volumes(c v1.Config) []string { return slices.Sorted(maps.Keys(c.Volumes)) }

// Size returns the sum of the file sizes in a root filesystem, in bytes.
func Size(rootfs string) (size int64, err error) {
	err = filepath.WalkDir(rootfs, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the root filesystem: %w", err)
	}
	return size, nil
}
