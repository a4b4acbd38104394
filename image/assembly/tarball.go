package assembly

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// TarballName is the file name of a platform's tarball.
func TarballName(t platform.Target) string { return "tailscale-" + t.Name + ".tar" }

// Tarball tells what Write has written.
type Tarball struct {
	archive.Written
	// RootfsSize is what the files take on the router, in bytes.
	RootfsSize int64
}

// Write checks a root file system, makes the image of it and writes the image as a tarball.
func Write(ctx context.Context, path, rootfs string, image recipe.Image, tag string, epoch time.Time) (Tarball, error) {
	img, err := Image(rootfs, image, epoch)
	if err != nil {
		return Tarball{}, err
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return Tarball{}, fmt.Errorf("naming the image: %w", err)
	}
	size, err := Size(rootfs)
	if err != nil {
		return Tarball{}, err
	}
	written, err := archive.WriteFile(ctx, path, func(w io.Writer) error { return archive.WriteTarball(w, img, ref) })
	return Tarball{Written: written, RootfsSize: size}, err
}

// Image makes the image of a root file system once it has found every binary in it to be right
// for the platform.
func Image(rootfs string, image recipe.Image, epoch time.Time) (v1.Image, error) {
	if err := verify.Tree(rootfs, image.Target, image.Volumes...); err != nil {
		return nil, fmt.Errorf("checking the root file system for %s: %w", image.Target, err)
	}
	layer, err := archive.Layer(rootfs, epoch)
	if err != nil {
		return nil, err
	}
	var env []string
	for _, v := range image.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	return archive.Image(layer, image.Target, archive.Config{
		Entrypoint: image.Entrypoint, Cmd: image.Cmd, Env: env, WorkingDir: image.WorkingDir,
		Volumes: image.Volumes, Labels: image.Labels, Healthcheck: image.Healthcheck, Created: epoch,
	})
}

// Size adds up the sizes of the files in a root file system, in bytes.
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
		return 0, fmt.Errorf("measuring the root file system: %w", err)
	}
	return size, nil
}
