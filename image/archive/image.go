package archive

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"dagger/mikrotik-tailscale/platform"
)

// createdBy is what the image's history says. It names no version and no machine, so that the
// same content gives the same image.
const createdBy = "mikrotik-tailscale"

// Config is how a container of the image starts. Lists keep their order.
type Config struct {
	// Entrypoint is the program that a container starts, with the arguments that it always gets.
	Entrypoint []string
	// Cmd are the default arguments, which a user's own replace.
	Cmd []string
	// Env are the variables of the environment, each as NAME=value.
	Env []string
	// WorkingDir is the directory that the program starts in. Empty means the root directory.
	WorkingDir string
	// Volumes are the directories that outlive a container.
	Volumes []string
	// Labels describe the image to people and tools.
	Labels map[string]string
	// Healthcheck is how Docker finds out whether a container works. May be nil.
	Healthcheck *v1.HealthConfig
	// Created is the image's time. The zero time means 1970.
	Created time.Time
}

// Image makes an image for one platform from a layer that holds its whole root file system.
func Image(layer v1.Layer, t platform.Target, c Config) (v1.Image, error) {
	img, err := image(layer, t, c)
	if err != nil {
		return nil, fmt.Errorf("making the image for %s: %w", t, err)
	}
	return img, nil
}

func image(layer v1.Layer, t platform.Target, c Config) (v1.Image, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	created, err := stamp(c.Created)
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: created}, CreatedBy: createdBy},
	})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = t.OS, t.Architecture, t.Variant
	file.Created = v1.Time{Time: created}
	file.Config = v1.Config{
		Entrypoint:  c.Entrypoint,
		Cmd:         c.Cmd,
		Env:         c.Env,
		WorkingDir:  c.WorkingDir,
		Volumes:     set(c.Volumes),
		Labels:      c.Labels,
		Healthcheck: c.Healthcheck,
	}
	return mutate.ConfigFile(img, file)
}

// check finds what would only fail later, on the router.
func (c Config) check() error {
	var problems []error
	if len(c.Entrypoint)+len(c.Cmd) == 0 {
		problems = append(problems, errors.New("there is neither an entrypoint nor a command to start"))
	}
	names := make(map[string]bool)
	for _, variable := range c.Env {
		name, _, ok := strings.Cut(variable, "=")
		switch {
		case !ok || name == "":
			problems = append(problems, fmt.Errorf("the variable %q does not have the form NAME=value", variable))
		case names[name]:
			problems = append(problems, fmt.Errorf("the variable %s is set twice", name))
		}
		names[name] = true
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		problems = append(problems, fmt.Errorf("the working directory %q does not start with /", c.WorkingDir))
	}
	for _, volume := range c.Volumes {
		if !path.IsAbs(volume) {
			problems = append(problems, fmt.Errorf("the volume %q does not start with /", volume))
		}
	}
	return errors.Join(problems...)
}

func set(values []string) map[string]struct{} {
	if len(values) == 0 {
		return nil
	}
	s := make(map[string]struct{}, len(values))
	for _, v := range values {
		s[v] = struct{}{}
	}
	return s
}
