// Builds, from source, the smallest useful Tailscale container image for MikroTik routers.
//
// The image holds Tailscale's daemon and command line tool as one binary with just the features
// that a router needs, and a small busybox for a shell. It has one layer, takes about 3 MB of the
// router's flash, and comes as a tarball that RouterOS takes with /container/add file=...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/archive"
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
	// Tailscale release, as in 1.102.5; even minor versions are stable ones. The newest that this
	// module was tested with when left out.
	//
	// +optional
	tailscaleVersion string,
	// Tailscale features. Names replace the default list, and names with a + or a - before them
	// change it: +ssh. What a feature depends on comes along.
	//
	// +optional
	features []string,
	// busybox release, as in 1.38.0.
	//
	// +optional
	busyboxVersion string,
	// sha256 of the busybox release's .tar.bz2. Known for the versions that this module was tested
	// with.
	//
	// +optional
	busyboxChecksum string,
	// Address to download busybox's .tar.bz2 from, as a secret: env://NAME. Defaults to its own site.
	// The Debian archive comes second.
	//
	// +optional
	busyboxUrl *dagger.Secret,
	// Curated list of the shell's commands: default or minimal.
	//
	// +optional
	// +default="default"
	appletSet string,
	// Applet list of your own. Takes precedence over the curated ones.
	//
	// +optional
	applets *dagger.File,
	// Applets to have, in place of a list.
	//
	// +optional
	appletNames []string,
	// How binaries are packed: launcher, the smallest, which unpacks into memory once; upx, which
	// unpacks at every start; or none, at more than five times the size.
	//
	// +optional
	// +default="launcher"
	compression string,
	// Leave the names, files and lines of functions in Tailscale's program, which only a crash's text
	// needs, at a fifth of its size. Without it, crashes are read with a file of symbols.
	//
	// +optional
	keepSymbols bool,
	// Leave Go's runtime as it is. Without it, two numbers in it are smaller, for which Tailscale's daemon
	// holds about a megabyte less of a router's memory.
	//
	// +optional
	stockRuntime bool,
	// Where the CA certificates are: built-in, which is part of Tailscale's program unless some are
	// mounted at /etc/ssl/certs, or file, for other programs, too, at three times the size.
	//
	// +optional
	// +default="built-in"
	certificates string,
	// Go release that compiles Tailscale, downloaded where the Go image has another. Another one
	// gives other bytes.
	//
	// +optional
	goVersion string,
	// GOPROXY setting to get Tailscale with, as a secret: env://NAME. Defaults to Go's own.
	//
	// +optional
	goProxy *dagger.Secret,
	// GOSUMDB setting that vouches for what the Go proxy gives, as a secret: env://NAME. The setting is
	// off if you trust a proxy of your own. Defaults to Go's own.
	//
	// +optional
	goSumdb *dagger.Secret,
	// Address of a Debian archive, such as http://mirror.example/debian, as a secret: env://NAME.
	// Defaults to the Debian image's own.
	//
	// +optional
	debianMirror *dagger.Secret,
	// Container image with Go on Debian. Docker Hub's golang of the Go release when left out.
	//
	// +optional
	goImage string,
	// Container image of the Debian release that compilers and tools come from. Docker Hub's debian
	// when left out.
	//
	// +optional
	debianImage string,
	// Files to put into the image, over those that are there.
	//
	// +optional
	extra *dagger.Directory,
	// Program that a container starts, with its arguments. The image's own when left out.
	//
	// +optional
	entrypoint []string,
	// Further labels of the image, each as name=value.
	//
	// +optional
	labels []string,
	// Tells images of one Tailscale release apart, from 1, which is the default: the N in the image
	// version 1.102.5-mt.N.
	//
	// +optional
	revision *int,
	// Time that the image and every file in it carry, in seconds since 1970, which is the default.
	//
	// +optional
	sourceDateEpoch string,
	// Repository and tag that tarballs name their image by, as in tailscale:router.
	//
	// +optional
	tag string,
	// Any word, such as today's date. What was built under another word is not used: with a new one
	// everything is downloaded and built again, with the packages that the Debian release has now.
	//
	// +optional
	cacheKey string,
) (*MikrotikTailscale, error) {
	m := &MikrotikTailscale{
		TailscaleVersion: tailscaleVersion, FeatureNames: features,
		BusyboxVersion: busyboxVersion, BusyboxChecksum: busyboxChecksum, BusyboxURL: busyboxUrl,
		AppletSource: appletSet, Compression: compression, KeepSymbols: keepSymbols, StockRuntime: stockRuntime, Certificates: certificates,
		GoVersion: goVersion, GoProxy: goProxy, GoSumDB: goSumdb, DebianMirror: debianMirror, GoImage: goImage, DebianImage: debianImage,
		Extra: extra, Entrypoint: entrypoint, Labels: labels, Revision: recipe.Revision, CacheKey: cacheKey,
		SourceDateEpoch: sourceDateEpoch, Tag: tag,
	}
	if revision != nil {
		m.Revision = *revision
	}
	if len(appletNames) > 0 {
		if applets != nil {
			return nil, errors.New("applets are given as a file and as names: give one of them")
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

// secretAddresses are the addresses that were given, by the environment variables that steps find them in.
func (m *MikrotikTailscale) secretAddresses() map[string]*dagger.Secret {
	return map[string]*dagger.Secret{
		recipe.BusyboxURLVariable: m.BusyboxURL, recipe.DebianMirrorVariable: m.DebianMirror,
		recipe.GoProxyVariable: m.GoProxy, recipe.GoSumDBVariable: m.GoSumDB,
	}
}

// addresses are the addresses in plain text, which only checks and Hide may see.
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

// config is the configuration as the recipes take it. What was left out has its default.
func (m *MikrotikTailscale) config() (recipe.Config, error) {
	c := recipe.Default()
	c.Tag = m.Tag
	for field, given := range map[*string]string{
		&c.TailscaleVersion: m.TailscaleVersion, &c.BusyboxVersion: m.BusyboxVersion,
		&c.BusyboxChecksum: m.BusyboxChecksum, &c.GoVersion: m.GoVersion,
	} {
		if given != "" {
			*field = given
		}
	}
	c.Features, c.Entrypoint, c.Revision = m.FeatureNames, m.Entrypoint, m.Revision
	c.Compression, c.KeepSymbols = recipe.Compression(m.Compression), m.KeepSymbols
	c.StockRuntime, c.Certificates = m.StockRuntime, recipe.CertificatePlace(m.Certificates)
	var errs [3]error
	if m.AppletList != "" {
		c.Applets, errs[0] = applets.Parse(m.AppletSource, strings.NewReader(m.AppletList))
	} else {
		c.Applets, errs[0] = applets.Named(m.AppletSource)
	}
	c.Labels, errs[2] = recipe.ParseLabels(m.Labels)
	c.Epoch, errs[1] = archive.SourceDateEpoch(m.SourceDateEpoch)
	if err := errors.Join(errs[:]...); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// plan is what every function about one platform begins with: it refuses a wrong name or
// configuration before anything runs.
func (m *MikrotikTailscale) plan(arch string) (platform.Target, recipe.Config, error) {
	t, err := platform.Parse(arch)
	if err != nil {
		return t, recipe.Config{}, err
	}
	c, err := m.config()
	return t, c, err
}

// resolved is plan for functions that need to know what the features mean.
func (m *MikrotikTailscale) resolved(ctx context.Context, arch string) (t platform.Target, c recipe.Config, r recipe.Resolved, err error) {
	if t, c, err = m.plan(arch); err != nil {
		return t, c, r, err
	}
	r, err = m.resolve(ctx, c)
	return t, c, r, err
}

// planAll is what every function about several platforms begins with. None given means all.
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
