// Build the image for the routers of one household with the mikrotik-tailscale module.
//
// It has a small shell, Tailscale SSH, and a greeting.
package main

import (
	"context"

	"dagger/home-router/internal/dagger"
)

// HomeRouter builds the images of the household's routers.
type HomeRouter struct{}

// commands are the commands that the household uses on a router.
var commands = []string{
	// The image's own scripts need these.
	"ash", "cat", "cp", "date", "flock", "ip", "mkdir", "mknod", "mv", "nc", "rm", "sed", "sh", "sleep", "sync",
	"df", "free", "ls", "nslookup", "ping", "ps", "top", "uname", "wget",
}

// module is mikrotik-tailscale with the household's options.
func (m *HomeRouter) module() *dagger.MikrotikTailscale {
	return dag.MikrotikTailscale(dagger.MikrotikTailscaleOpts{
		Features:    []string{"+ssh"},
		AppletNames: commands,
		Extra:       dag.Directory().WithNewFile("etc/motd", "Mind the cat: it sleeps on this router.\n"),
		Labels:      []string{"home.example.owner=the household"},
	})
}

// Build the image and return a tarball for /container/add file=.
func (m *HomeRouter) Tarball(
	// Platform of the router: amd64, arm64, arm or armv5.
	arch string,
) *dagger.File {
	return m.module().Tarball(arch)
}

// Push the images of all routers to the household's registry.
//
// It returns the reference with the digest.
func (m *HomeRouter) Publish(
	ctx context.Context,
	// Registry to push to. Defaults to a new one that ends with the call.
	//
	// +optional
	registry *dagger.Service,
) (string, error) {
	if registry == nil {
		registry = dag.Container().From("registry:3").WithExposedPort(5000).AsService()
	}
	return m.module().Publish(ctx, "registry.home.example/tailscale", dagger.MikrotikTailscalePublishOpts{
		Tags:     []string{"stable"},
		Registry: registry,
	})
}

// Return the sizes of the images as a table.
func (m *HomeRouter) Sizes(ctx context.Context) (string, error) {
	return m.module().Sizes().Table(ctx)
}
