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

// output returns the output file of a stage, which runs in a container of its own when the file is read. binary
// replaces an input that no stage builds.
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

// base returns the container that a stage starts from, with its packages installed.
func (m *MikrotikTailscale) base(s recipe.Stage) *dagger.Container {
	if s.Base == recipe.BaseGo {
		return m.image(s.Base).
			WithMountedCache(recipe.GoModCache, m.volume("go-mod")).
			WithMountedCache(recipe.GoBuildCache, m.volume("go-build"))
	}
	return m.installed(s.Packages)
}

// installed returns the Debian container with packages.
func (m *MikrotikTailscale) installed(p recipe.Packages) *dagger.Container {
	c := m.image(recipe.BaseDebian)
	if p.Base != nil {
		c = m.installed(*p.Base)
	}
	// apt locks its directories, so only one stage at a time may use them.
	locked := dagger.ContainerWithMountedCacheOpts{Sharing: dagger.CacheSharingModeLocked}
	c = m.withAddress(c, recipe.DebianMirrorVariable).
		WithMountedCache("/var/cache/apt", m.volume("apt-cache"), locked).
		WithMountedCache("/var/lib/apt/lists", m.volume("apt-lists"), locked).
		WithExec(installPackages(p)).
		WithoutMount("/var/cache/apt").WithoutMount("/var/lib/apt/lists").
		WithoutSecretVariable(recipe.DebianMirrorVariable)
	if len(p.Locked) > 0 {
		c = c.WithExec(recipe.CheckPackages(p))
	}
	return c
}

// withAddress adds a download address to the environment. It may contain a password, so it is a secret: the engine
// keeps secrets out of its cache and traces.
func (m *MikrotikTailscale) withAddress(c *dagger.Container, name string) *dagger.Container {
	if secret := m.secretAddresses()[name]; secret != nil {
		return c.WithSecretVariable(name, secret)
	}
	return c
}

// pulled returns the container image of a base as pulled from its registry.
func (m *MikrotikTailscale) pulled(base recipe.Base) *dagger.Container {
	image := cmp.Or(m.DebianImage, recipe.DebianImage)
	if base == recipe.BaseGo {
		image = cmp.Or(m.GoImage, recipe.GoImage(cmp.Or(strings.TrimPrefix(m.GoVersion, "go"), recipe.GoVersion)))
	}
	return dag.Container().From(image)
}

// checkImage returns an error if an address can't be the address of an image.
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

// image returns the container that stages with a base start from. A cache key makes the engine treat it as a
// different container.
func (m *MikrotikTailscale) image(base recipe.Base) *dagger.Container {
	c := m.pulled(base)
	if m.CacheKey != "" {
		c = c.WithEnvVariable("MIKROTIK_TAILSCALE_CACHE_KEY", m.CacheKey)
	}
	return c
}

// volume returns a cache volume for the module's cache key.
func (m *MikrotikTailscale) volume(name string) *dagger.CacheVolume {
	return dag.CacheVolume(strings.TrimSuffix(name+"-"+m.CacheKey, "-"))
}
