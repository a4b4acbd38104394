package assembly

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"dagger/mikrotik-tailscale/archive"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/verify"
)

// CheckExtra finds, before anything is compiled, what would keep the files of the folder extra out of the images of the
// targets: it merges them into a root file system whose programs are empty files, in a new folder below work. The error
// has every problem.
func CheckExtra(extra string, targets []platform.Target, c recipe.Config, work string) (err error) {
	if extra == "" {
		return nil
	}
	info, err := os.Stat(extra)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return fmt.Errorf("reading the extra folder %s: %w", extra, err)
	}
	dir, err := os.MkdirTemp(work, "extra-*")
	if err != nil {
		return fmt.Errorf("checking the extra folder %s: %w", extra, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rootfs, empty := filepath.Join(dir, "rootfs"), filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return fmt.Errorf("checking the extra folder %s: %w", extra, err)
	}
	// The paths are the same for all targets and features.
	entries, image := recipe.Rootfs(targets[0], c, recipe.Resolved{}), recipe.ImageConfig(targets[0], c, recipe.Resolved{})
	if err := Rootfs(rootfs, entries, func(string) string { return empty }); err != nil {
		return fmt.Errorf("checking the extra folder %s: %w", extra, err)
	}
	if err := Merge(rootfs, extra); err != nil {
		return err
	}
	var problems []error
	for _, t := range targets {
		if err := verify.Part(rootfs, t, image.Volumes...); err != nil {
			problems = append(problems, fmt.Errorf("the extra folder %s doesn't fit into the image for %s: %w", extra, t, err))
		}
	}
	if err := archive.Check(rootfs); err != nil {
		problems = append(problems, fmt.Errorf("the extra folder %s doesn't fit into an image: %w", extra, err))
	}
	return errors.Join(problems...)
}
