package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/publish"
)

// Pushes the images of all platforms to a registry, as one multi-platform index, and gives its
// reference with the digest.
//
// Attached as OCI referrers are a bill of materials and the symbols to each platform's image and the provenance to
// the index; a router that pulls the image sees nothing of them. Tags are set last: a failed push leaves them as they were.
//
// Beside each tag there is one for each platform, with the platform's name behind it, as in
// 1.102.5-mt.1-armv5. The same inputs give the same digest, and what the registry has already is
// not pushed again.
//
// The registry is asked for permission to push before anything is built.
//
// +cache="session"
func (m *MikrotikTailscale) Publish(
	ctx context.Context,
	// Registry and repository, as in registry.example/me/tailscale, with a tag or without. The
	// image's version is the tag of one without.
	address string,
	// Further tags for the same index, such as stable.
	//
	// +optional
	tags []string,
	// Platforms to publish, or "all", which is the default.
	//
	// +optional
	platforms []string,
	// User name for the registry. Needs the password, too.
	//
	// +optional
	username string,
	// Password or token for the registry. Needs the user name, too.
	//
	// +optional
	password *dagger.Secret,
	// Speak plain HTTP.
	//
	// +optional
	insecure bool,
	// Service that is the registry, in place of the one that the address names. It is spoken to in
	// plain HTTP.
	//
	// +optional
	registry *dagger.Service,
	// Build everything and tell the reference, but push nothing.
	//
	// +optional
	dryRun bool,
) (string, error) {
	_, c, err := m.planAll(platforms)
	if err != nil {
		return "", err
	}
	secret := ""
	if password != nil {
		if secret, err = password.Plaintext(ctx); err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
	}
	destination, err := publish.NewDestination(address, c.ImageVersion(), tags, username, secret, insecure || registry != nil)
	if err != nil {
		return "", err
	}
	var transport http.RoundTripper
	if !dryRun {
		if registry != nil {
			if transport, err = serviceTransport(ctx, registry); err != nil {
				return "", fmt.Errorf("starting the registry: %w", err)
			}
		}
		if err := publish.Check(ctx, destination, transport); err != nil {
			return "", err
		}
	}
	work, products, err := m.products(ctx, platforms)
	if err != nil {
		return "", err
	}
	b, err := m.build(ctx, products)
	if err != nil {
		return "", err
	}
	release, err := publish.Of(ctx, m.outputs(work), b, address)
	if err != nil {
		return "", err
	}
	if dryRun {
		return publish.Reference(destination, release)
	}
	return publish.Push(ctx, destination, release, transport)
}

// serviceTransport speaks to a service whatever host is asked for.
func serviceTransport(ctx context.Context, registry *dagger.Service) (http.RoundTripper, error) {
	started, err := registry.Start(ctx)
	if err != nil {
		return nil, err
	}
	endpoint, err := started.Endpoint(ctx)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, endpoint)
	}
	return transport, nil
}
