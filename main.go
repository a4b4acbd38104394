// Build the smallest useful Tailscale container image for MikroTik routers.
//
// The image contains the Tailscale daemon and CLI as one binary with only the features that a router needs, and a small busybox for a shell. It has one layer, takes about 3 MB of flash, and comes as a tarball that RouterOS imports with /container/add file=. Everything is built from source.
//
// Start with: dagger call tarball --arch arm64 export --path ./tailscale-arm64.tar
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// MikrotikTailscale builds Tailscale images for MikroTik routers.
type MikrotikTailscale struct {
	// +private
	TailscaleVersion string
	// +private
	FeatureNames []string
	// +private
	BusyboxVersion string
	// +private
	BusyboxChecksum string
	// +private
	BusyboxURL *dagger.Secret
	// +private
	AppletList string
	// +private
	AppletSource string
	// +private
	Compression string
	// +private
	KeepSymbols bool
	// +private
	StockRuntime bool
	// +private
	Certificates string
	// +private
	GoVersion string
	// +private
	GoProxy *dagger.Secret
	// +private
	GoSumDB *dagger.Secret
	// +private
	DebianMirror *dagger.Secret
	// +private
	GoImage string
	// +private
	DebianImage string
	// +private
	Extra *dagger.Directory
	// +private
	Entrypoint []string
	// +private
	Labels []string
	// +private
	Revision int
	// +private
	CacheKey string
	// +private
	SourceDateEpoch string
	// +private
	Tag string
}

// New checks the configuration that all functions share.
func New(
	ctx context.Context,
	// Tailscale release, for example 1.104.5. Even minor versions are stable releases. Defaults to the newest release that this module was tested with.
	//
	// +optional
	tailscaleVersion string,
	// Tailscale features. Names replace the default list. Names with + or - change it, for example +ssh. Dependencies of a feature are added.
	//
	// +optional
	features []string,
	// busybox release, for example 1.38.0.
	//
	// +optional
	busyboxVersion string,
	// sha256 of the release's .tar.bz2. Known for the versions that this module was tested with.
	//
	// +optional
	busyboxChecksum string,
	// URL to download busybox's .tar.bz2 from, as a secret: env://NAME. Defaults to busybox.net, with the Debian archive as a fallback.
	//
	// +optional
	busyboxUrl *dagger.Secret,
	// Curated list of the shell's commands.
	//
	// +optional
	// +default="default"
	appletSet AppletSet,
	// Your own list of applets, in place of a curated one.
	//
	// +optional
	applets *dagger.File,
	// Names of applets, in place of a list.
	//
	// +optional
	appletNames []string,
	// How binaries are packed. LAUNCHER is the smallest and unpacks into memory once, UPX unpacks at every start, NONE takes more than five times the size.
	//
	// +optional
	// +default="launcher"
	compression Compression,
	// Keep function names, file names and line numbers in the Tailscale binary. They are only used in crash reports and add a third to the image's size. Without them, symbolize reads crashes.
	//
	// +optional
	keepSymbols bool,
	// Use Go's runtime and library unchanged. By default, a few changed lines in them save more than 1 MB of the router's memory.
	//
	// +optional
	stockRuntime bool,
	// Where the CA certificates are. BUILT_IN is part of the Tailscale binary, unless there are some in /etc/ssl/certs. FILE also serves other programs, at three times the size.
	//
	// +optional
	// +default="built-in"
	certificates Certificates,
	// Go release that compiles Tailscale, downloaded if the Go image has another one. Another release gives other bytes.
	//
	// +optional
	goVersion string,
	// GOPROXY setting for downloading Tailscale, as a secret: env://NAME. Defaults to Go's own.
	//
	// +optional
	goProxy *dagger.Secret,
	// GOSUMDB setting that verifies downloads, as a secret: env://NAME. Use off if you trust your own proxy. Defaults to Go's own.
	//
	// +optional
	goSumdb *dagger.Secret,
	// URL of a Debian archive, for example http://mirror.example/debian, as a secret: env://NAME. Defaults to the Debian image's own mirror.
	//
	// +optional
	debianMirror *dagger.Secret,
	// Container image with Go on Debian. Defaults to Docker Hub's golang image of the Go release.
	//
	// +optional
	goImage string,
	// Container image of the Debian release, for compilers and tools. Defaults to Docker Hub's debian image.
	//
	// +optional
	debianImage string,
	// Files to add to the image. They replace files of the same name.
	//
	// +optional
	extra *dagger.Directory,
	// Program that the container starts, with its arguments. Defaults to the image's own entrypoint.
	//
	// +optional
	entrypoint []string,
	// More labels of the image, each as name=value.
	//
	// +optional
	labels []string,
	// Revision of the image: the N in the image version 1.104.5-mt.N. Starts at 1, which is the default.
	//
	// +optional
	revision *int,
	// Time of the image and every file in it, in seconds since 1970. Defaults to 0.
	//
	// +optional
	sourceDateEpoch string,
	// Repository and tag in the tarballs, for example tailscale:router.
	//
	// +optional
	tag string,
	// Cache buster, for example today's date. A new value downloads and rebuilds everything.
	//
	// +optional
	cacheKey string,
) (*MikrotikTailscale, error) {
	m := &MikrotikTailscale{
		TailscaleVersion: tailscaleVersion, FeatureNames: features,
		BusyboxVersion: busyboxVersion, BusyboxChecksum: busyboxChecksum, BusyboxURL: busyboxUrl,
		AppletSource: string(appletSet), Compression: string(compression), KeepSymbols: keepSymbols, StockRuntime: stockRuntime,
		Certificates: string(certificates),
		GoVersion:    goVersion, GoProxy: goProxy, GoSumDB: goSumdb, DebianMirror: debianMirror, GoImage: goImage, DebianImage: debianImage,
		Extra: extra, Entrypoint: entrypoint, Labels: labels, Revision: recipe.Revision, CacheKey: cacheKey,
		SourceDateEpoch: sourceDateEpoch, Tag: tag,
	}
	if revision != nil {
		m.Revision = *revision
	}
	if len(appletNames) > 0 {
		if applets != nil {
			return nil, errors.New("both a file and names of applets: want one of them")
		}
		m.AppletSource, m.AppletList = "applet-names", strings.Join(appletNames, "\n")
	}
	if applets != nil {
		var err error
		if m.AppletSource, err = applets.Name(ctx); err != nil {
			return nil, fmt.Errorf("reading the applet list: %w", err)
		}
		if m.AppletList, err = applets.Contents(ctx); err != nil {
			return nil, fmt.Errorf("reading the applet list: %w", err)
		}
		if strings.TrimSpace(m.AppletList) == "" {
			return nil, fmt.Errorf("the applet list %s is empty", m.AppletSource)
		}
	}
	c, invalid := m.config()
	addresses, err := m.addresses(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(invalid, addresses.Validate(), checkImage("Go image", goImage), checkImage("Debian image", debianImage)); err != nil {
		return nil, err
	}
	for _, w := range c.Warnings() {
		fmt.Fprintln(os.Stderr, "warning: "+w)
	}
	return m, nil
}

// secretAddresses returns the user's download addresses by the environment variable that passes them to steps.
func (m *MikrotikTailscale) secretAddresses() map[string]*dagger.Secret {
	return map[string]*dagger.Secret{
		recipe.BusyboxURLVariable: m.BusyboxURL, recipe.DebianMirrorVariable: m.DebianMirror,
		recipe.GoProxyVariable: m.GoProxy, recipe.GoSumDBVariable: m.GoSumDB,
	}
}

// addresses returns the download addresses in plain text. Only checks and Hide may use them.
func (m *MikrotikTailscale) addresses(ctx context.Context) (recipe.Addresses, error) {
	plain := map[string]string{}
	for name, secret := range m.secretAddresses() {
		if secret == nil {
			continue
		}
		var err error
		if plain[name], err = secret.Plaintext(ctx); err != nil {
			return recipe.Addresses{}, fmt.Errorf("reading the address %s: %w", name, err)
		}
	}
	return recipe.NewAddresses(plain), nil
}

// config returns the complete configuration. Options that the user did not set have their defaults.
func (m *MikrotikTailscale) config() (recipe.Config, error) {
	c := recipe.Default()
	c.TailscaleVersion = cmp.Or(m.TailscaleVersion, c.TailscaleVersion)
	c.BusyboxVersion = cmp.Or(m.BusyboxVersion, c.BusyboxVersion)
	c.BusyboxChecksum = cmp.Or(m.BusyboxChecksum, c.BusyboxChecksum)
	c.GoVersion = cmp.Or(m.GoVersion, c.GoVersion)
	c.Features, c.Entrypoint, c.Revision, c.Tag = m.FeatureNames, m.Entrypoint, m.Revision, m.Tag
	c.Compression, c.KeepSymbols = recipe.Compression(m.Compression), m.KeepSymbols
	c.StockRuntime, c.Certificates = m.StockRuntime, recipe.CertificatePlace(m.Certificates)
	var list, epoch, labels error
	if m.AppletList != "" {
		c.Applets, list = applets.Parse(m.AppletSource, strings.NewReader(m.AppletList))
	} else {
		c.Applets, list = applets.Named(m.AppletSource)
	}
	c.Epoch, epoch = archive.SourceDateEpoch(m.SourceDateEpoch)
	c.Labels, labels = recipe.ParseLabels(m.Labels)
	if err := errors.Join(list, epoch, labels); err != nil {
		return c, err
	}
	return c, c.Complete()
}

// plan returns the plan for one platform. It rejects a wrong platform or configuration before anything runs. It
// doesn't ask Tailscale's source which features to build; resolvedPlan does.
func (m *MikrotikTailscale) plan(arch string) (p recipe.Plan, err error) {
	if p.Target, err = platform.Parse(arch); err != nil {
		return p, err
	}
	p.Config, err = m.config()
	return p, err
}

func (m *MikrotikTailscale) resolvedPlan(ctx context.Context, arch string) (recipe.Plan, error) {
	p, err := m.plan(arch)
	if err != nil {
		return p, err
	}
	p.Resolved, err = m.resolve(ctx, p.Config)
	return p, err
}

// planAll returns the platforms and the configuration for functions about several platforms. No platform means all of
// them.
func (m *MikrotikTailscale) planAll(platforms []string) ([]platform.Target, recipe.Config, error) {
	targets, err := platform.ParseAll(platforms)
	if err != nil {
		return nil, recipe.Config{}, err
	}
	if len(targets) == 0 {
		targets = platform.All()
	}
	c, err := m.config()
	return targets, c, err
}
