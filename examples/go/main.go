// An image for the routers of one household, made with the mikrotik-tailscale module: a shell of a
// few commands, Tailscale SSH, and a note that greets whoever logs in.
package main

import (
	"context"

	"dagger/home-router/internal/dagger"
)

// HomeRouter builds the images of the household's routers.
type HomeRouter struct{}

// commands are what the household types on a router.
var commands = []string{
	// The image's own scripts need these.
	"ash", "cat", "cp", "date", "flock", "ip", "mkdir", "mknod", "mv", "nc", "rm", "sed", "sh", "sleep", "sync",
	"df", "free", "ls", "nslookup", "ping", "ps", "top", "uname", "wget",
}

// module is mikrotik-tailscale with this household's choices.
func (m *HomeRouter) module() *dagger.MikrotikTailscale {
	return dag.MikrotikTailscale(dagger.MikrotikTailscaleOpts{
		Features:    []string{"+ssh"},
		AppletNames: commands,
		Extra:       dag.Directory().WithNewFile("etc/motd", "Mind the cat: it sleeps on this router.\n"),
		Labels:      []string{"home.example.owner=the household"},
	})
}

// Gives the tarball for /container/add file=...
func (m *HomeRouter) Tarball(
	// Platform of the router: amd64, arm64, arm or armv5.
	arch string,
) *dagger.File {
	return m.module().Tarball(arch)
}

// Publishes the images of all routers to a registry of the household's own, and gives their
// reference with the digest.
func (m *HomeRouter) Publish(
	ctx context.Context,
	// Registry to publish to. A new one, which lives as long as the call, when left out.
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

// Tells what the household's images weigh.
func (m *HomeRouter) Sizes(ctx context.Context) (string, error) {
	return m.module().Sizes().Table(ctx)
}
