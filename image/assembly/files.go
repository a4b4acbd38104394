package assembly

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// CheckFiles returns an error if an image with the files of the directory extra and the configured entrypoint could
// not be built or could not start. It runs before anything is compiled: in a new directory below work, it merges
// extra into a root filesystem whose programs are empty files. The error lists every problem.
func CheckFiles(extra string, targets []platform.Target, c recipe.Config, work string) (err error) {
	if extra == "" && len(c.Entrypoint) == 0 {
		return nil
	}
	if err := checkDirectory(extra); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(work, "files-*")
	if err != nil {
		return fmt.Errorf("checking the image's files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rootfs, empty := filepath.Join(dir, "rootfs"), filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return fmt.Errorf("checking the image's files: %w", err)
	}
	// The paths are the same for all platforms and features.
	plan := recipe.Plan{Target: targets[0], Config: c}
	config := plan.ImageConfig()
	if err := Rootfs(rootfs, plan.Entries(), func(string) string { return empty }); err != nil {
		return fmt.Errorf("checking the image's files: %w", err)
	}
	var problems []error
	if extra != "" {
		if err := Merge(rootfs, extra); err != nil {
			return err
		}
		for _, t := range targets {
			if err := verify.Part(rootfs, t, volumes(config)...); err != nil {
				problems = append(problems, fmt.Errorf("the extra directory %s doesn't fit into the image for %s: %w", extra, t, err))
			}
		}
		if err := archive.Check(rootfs); err != nil {
			problems = append(problems, fmt.Errorf("the extra directory %s doesn't fit into an image: %w", extra, err))
		}
	}
	if err := verify.Program(rootfs, config.Entrypoint[0], volumes(config)...); err != nil {
		problems = append(problems, fmt.Errorf("the entrypoint %q can't be started: %w", config.Entrypoint, err))
	}
	return errors.Join(problems...)
}

func checkDirectory(extra string) error {
	if extra == "" {
		return nil
	}
	info, err := os.Stat(extra)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return fmt.Errorf("reading the extra directory %s: %w", extra, err)
	}
	return nil
}
