package archive

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"dagger/mikrotik-tailscale/platform"
)

// createdBy is the text in the image's history. It names no version and no machine, so that the same content results
// in the same image.
const createdBy = "mikrotik-tailscale"

// Image returns an image for one platform, with one layer that contains the whole root filesystem. The zero time
// means 1970.
func Image(layer v1.Layer, t platform.Target, c v1.Config, created time.Time) (v1.Image, error) {
	img, err := image(layer, t, c, created)
	if err != nil {
		return nil, fmt.Errorf("making the image for %s: %w", t, err)
	}
	return img, nil
}

func image(layer v1.Layer, t platform.Target, c v1.Config, created time.Time) (v1.Image, error) {
	if err := check(c); err != nil {
		return nil, err
	}
	created, err := stamp(created)
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
	file.Config = c
	return mutate.ConfigFile(img, file)
}

// check returns an error for mistakes that would otherwise only show on the router.
func check(c v1.Config) error {
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
	for _, volume := range slices.Sorted(maps.Keys(c.Volumes)) {
		if !path.IsAbs(volume) {
			problems = append(problems, fmt.Errorf("the volume %q does not start with /", volume))
		}
	}
	return errors.Join(problems...)
}
