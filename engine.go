package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/recipe/address"
)

// output runs a stage in a container of its own and gives its one file. Nothing runs before the
// file is asked for. binary takes the place of an input that no stage makes.
func (m *MikrotikTailscale) output(s recipe.Stage, binary *dagger.File) *dagger.File {
	c := m.base(s)
	for _, name := range recipe.AddressVariables(s) {
		c = m.withAddress(c, name)
	}
	for _, v := range s.Env {
		c = c.WithEnvVariable(v.Name, v.Value)
	}
	for _, f := range s.Files {
		c = c.WithNewFile(recipe.InDir+"/"+f.Name, f.Content)
	}
	for _, in := range s.Inputs {
		file := binary
		if in.Stage != nil {
			file = m.output(*in.Stage, nil)
		}
		c = c.WithMountedFile(recipe.InDir+"/"+in.Name, file)
	}
	c = c.WithWorkdir(recipe.BuildDir).WithDirectory(recipe.OutDir, dag.Directory())
	for _, step := range s.Steps {
		c = c.WithExec(step)
	}
	return c.File(recipe.OutDir + "/" + s.Output)
}

// base is the container that a stage starts from, with its packages.
func (m *MikrotikTailscale) base(s recipe.Stage) *dagger.Container {
	if s.Base == recipe.BaseGo {
		return m.image(s.Base).
			WithMountedCache(recipe.GoModCache, m.volume("go-mod")).
			WithMountedCache(recipe.GoBuildCache, m.volume("go-build"))
	}
	// apt locks its directories, so one stage at a time may use them.
	locked := dagger.ContainerWithMountedCacheOpts{Sharing: dagger.CacheSharingModeLocked}
	c := m.withAddress(m.image(s.Base), recipe.DebianMirrorVariable).
		WithMountedCache("/var/cache/apt", m.volume("apt-cache"), locked).
		WithMountedCache("/var/lib/apt/lists", m.volume("apt-lists"), locked).
		WithExec(installPackages(s.Packages)).
		WithoutMount("/var/cache/apt").WithoutMount("/var/lib/apt/lists").
		WithoutSecretVariable(recipe.DebianMirrorVariable)
	if len(s.Packages.Locked) > 0 {
		c = c.WithExec(recipe.CheckPackages(s.Packages))
	}
	return c
}

// withAddress adds an address that was given. It may hold a password, and the engine keeps secrets out of its cache
// and its traces.
func (m *MikrotikTailscale) withAddress(c *dagger.Container, name string) *dagger.Container {
	if secret := m.secretAddresses()[name]; secret != nil {
		return c.WithSecretVariable(name, secret)
	}
	return c
}

// pulled is the container image of a base, as its registry gives it.
func (m *MikrotikTailscale) pulled(base recipe.Base) *dagger.Container {
	image := cmp.Or(m.DebianImage, recipe.DebianImage)
	if base == recipe.BaseGo {
		image = cmp.Or(m.GoImage, recipe.GoImage(cmp.Or(strings.TrimPrefix(m.GoVersion, "go"), recipe.GoVersion)))
	}
	return dag.Container().From(image)
}

// checkImage refuses an address that no registry can have an image under.
func checkImage(what, given string) error {
	if given == "" {
		return nil
	}
	if _, err := name.ParseReference(given); err != nil {
		return fmt.Errorf("malformed %s %q: want an address such as registry.example/debian:trixie-slim: %s",
			what, address.Redact(given), address.Hide(err.Error(), given))
	}
	return nil
}

// image is what stages with a base start from. A cache key makes it another one in the engine's
// eyes.
func (m *MikrotikTailscale) image(base recipe.Base) *dagger.Container {
	c := m.pulled(base)
	if m.CacheKey != "" {
		c = c.WithEnvVariable("MIKROTIK_TAILSCALE_CACHE_KEY", m.CacheKey)
	}
	return c
}

// volume is a cache volume of the module's cache key.
func (m *MikrotikTailscale) volume(name string) *dagger.CacheVolume {
	return dag.CacheVolume(strings.TrimSuffix(name+"-"+m.CacheKey, "-"))
}
