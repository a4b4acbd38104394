package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/internal/dagger"
)

// Push the images of all platforms to a registry under one tag.
//
// Returns the reference of the multi-platform index with its digest. Each tag also exists once per platform, with the platform's name appended, for example 1.104.5-mt.1-armv5. The same inputs give the same digest, and nothing is pushed twice.
//
// SBOM and symbols are attached to each platform's image as OCI referrers, and provenance and the corresponding source of busybox to the index. Routers don't notice them. Tags are set last, so a failed push leaves them as they were.
//
// The registry is asked for permission to push before anything is built.
//
// +cache="session"
func (m *MikrotikTailscale) Publish(
	ctx context.Context,
	// Registry and repository, for example registry.example/me/tailscale, optionally with a tag. The default tag is the image's version.
	address string,
	// More tags for the same index, for example stable.
	//
	// +optional
	tags []string,
	// Platforms to publish. Defaults to all.
	//
	// +optional
	platforms []string,
	// User name for the registry. Requires the password, too.
	//
	// +optional
	username string,
	// Password or token for the registry. Requires the user name, too.
	//
	// +optional
	password *dagger.Secret,
	// Private key to sign with, as cosign generate-key-pair writes it. Signs the index, the images, the SBOMs and the provenance, so that cosign verify --key accepts them.
	//
	// +optional
	signingKey *dagger.Secret,
	// Password of the signing key.
	//
	// +optional
	signingPassword *dagger.Secret,
	// Use plain HTTP.
	//
	// +optional
	insecure bool,
	// Service to push to, in place of the host in the address. It is reached over plain HTTP.
	//
	// +optional
	registry *dagger.Service,
	// Don't attach the corresponding source of busybox. You have to offer it in another way.
	//
	// +optional
	noSources bool,
	// Build everything and return the reference, but push nothing.
	//
	// +optional
	dryRun bool,
) (string, error) {
	_, c, err := m.planAll(platforms)
	if err != nil {
		return "", err
	}
	secrets := map[*dagger.Secret]string{}
	for name, s := range map[string]*dagger.Secret{"password": password, "signing key": signingKey, "password of the signing key": signingPassword} {
		if s == nil {
			continue
		}
		text, err := s.Plaintext(ctx)
		if err != nil {
			return "", fmt.Errorf("reading the %s: %w", name, err)
		}
		secrets[s] = strings.TrimRight(text, "\r\n")
	}
	destination, err := publish.NewDestination(address, c.ImageVersion(), tags, username, secrets[password], insecure || registry != nil)
	if err != nil {
		return "", err
	}
	key, err := signing.Load(secrets[signingKey], secrets[signingPassword])
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
	release, err := publish.ForBuild(ctx, m.stageRunner(work), b, address, publish.Parts{Sources: !noSources, Key: key})
	if err != nil {
		return "", err
	}
	if dryRun {
		return publish.Reference(destination, release)
	}
	return publish.Push(ctx, destination, release, transport)
}

// serviceTransport returns a transport that connects to a service, whatever the request's host.
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
