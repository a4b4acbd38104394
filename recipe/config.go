package recipe

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// Config is everything that a user can choose about an image. Start with Default, change some fields, and call Complete
// before making stages of it.
//
// Where things are downloaded from is no part of it: see Addresses.
type Config struct {
	// TailscaleVersion is a release of Tailscale without the leading "v", as in 1.102.5.
	TailscaleVersion string `json:"tailscaleVersion"`
	// Revision tells the images of one Tailscale release apart, from 1: it is the N in -mt.N.
	Revision int `json:"revision"`
	// Features are the Tailscale features to build in. What they depend on comes along. Names with
	// a + or a - before them change the default list, which an empty list stands for; Complete
	// replaces them with plain names.
	Features []string `json:"features"`
	// BusyboxVersion is a release of busybox, as in 1.38.0.
	BusyboxVersion string `json:"busyboxVersion"`
	// BusyboxChecksum is the sha256 of the release's .tar.bz2, 64 hexadecimal digits. It may stay
	// empty for a version in BusyboxVersions.
	BusyboxChecksum string `json:"busyboxChecksum"`
	// Applets are the commands that the image's busybox offers.
	Applets applets.List `json:"applets"`
	// Compression says how the binaries are packed.
	Compression Compression `json:"compression"`
	// KeepSymbols leaves the names, files and lines of functions in Tailscale's program, which only a
	// crash's text needs. Without them it takes a fifth less.
	KeepSymbols bool `json:"keepSymbols"`
	// StockRuntime leaves Go's runtime as it is. Without it, the daemon and each command hold less memory.
	StockRuntime bool `json:"stockRuntime"`
	// Certificates says where the image has the CA certificates.
	Certificates CertificatePlace `json:"certificates"`
	// GoVersion is the Go release that compiles Tailscale. Another one gives other bytes. The Tailscale release decides when
	// empty: see Resolved.
	GoVersion string `json:"goVersion"`
	// Epoch is the time that the image and every file in it carry.
	Epoch time.Time `json:"epoch"`
	// Tag is the repository and tag that the tarball names its image by, DefaultTag when empty.
	Tag string `json:"tag"`
	// Entrypoint is the program that a container starts, with its arguments. The image's own when
	// empty.
	Entrypoint []string `json:"entrypoint,omitempty"`
	// Labels are further labels of the image. They win over the image's own.
	Labels map[string]string `json:"labels,omitempty"`
}

// Compression says how binaries are packed for the router's flash.
type Compression string

const (
	// CompressionLauncher puts a small launcher in front of the packed binary, which unpacks it into
	// memory once: the smallest. Commands that are started while the daemon runs share its memory.
	CompressionLauncher Compression = "launcher"
	// CompressionUPX packs with UPX, LZMA at its best level. Every start unpacks again.
	CompressionUPX Compression = "upx"
	// CompressionNone leaves binaries as they are linked: quick to start and easy on memory, but
	// more than five times the size on flash.
	CompressionNone Compression = "none"
)

// Compressions lists the accepted values of Config.Compression.
func Compressions() []Compression {
	return []Compression{CompressionLauncher, CompressionUPX, CompressionNone}
}

// Default is the configuration of the image that most routers want.
func Default() Config {
	list, err := applets.Named("default")
	if err != nil {
		panic(err) // the set is compiled in and tested
	}
	return Config{
		TailscaleVersion: TailscaleVersion,
		Revision:         Revision,
		Features:         Features(),
		BusyboxVersion:   BusyboxVersion,
		Applets:          list,
		Compression:      CompressionLauncher,
		Certificates:     CertificatesBuiltIn,
		Epoch:            time.Unix(0, 0).UTC(),
	}
}

// ImageVersion is the version of the image: that of Tailscale and the revision.
func (c Config) ImageVersion() string { return fmt.Sprintf("%s-mt.%d", c.TailscaleVersion, c.Revision) }

// DefaultTag is what tarballs name their image by.
func (c Config) DefaultTag() string { return Title + ":" + c.ImageVersion() }

// ParseLabels reads labels that are given as name=value.
func ParseLabels(given []string) (map[string]string, error) {
	labels, problems := map[string]string{}, []error(nil)
	for _, l := range given {
		name, value, found := strings.Cut(l, "=")
		if _, twice := labels[name]; !found || name == "" || twice {
			problems = append(problems, fmt.Errorf("malformed label %q: name=value is wanted, each name once", l))
		}
		labels[name] = value
	}
	return labels, errors.Join(problems...)
}

var (
	versionForm  = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	featureForm  = regexp.MustCompile(`^[a-z0-9_]+$`)
	checksumForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Complete fills in what follows from the choices: plain names of features, the checksum of a known busybox release, and
// the tag. It returns one error with all mistakes that can be found without building anything.
func (c *Config) Complete() error {
	c.TailscaleVersion = strings.TrimPrefix(c.TailscaleVersion, "v")
	c.GoVersion = strings.TrimPrefix(c.GoVersion, "go")
	problems := []error{
		checkVersion("Tailscale version", c.TailscaleVersion, TailscaleVersion),
		checkVersion("busybox version", c.BusyboxVersion, BusyboxVersion),
	}
	if c.GoVersion != "" {
		problems = append(problems, checkVersion("Go version", c.GoVersion, GoVersion), c.checkGoRelease(c.GoVersion))
	}
	if err := c.completeFeatures(); err != nil {
		problems = append(problems, err)
	}
	c.BusyboxChecksum = strings.TrimPrefix(strings.ToLower(c.BusyboxChecksum), "sha256:")
	if c.BusyboxChecksum == "" {
		c.BusyboxChecksum = busyboxChecksums[c.BusyboxVersion]
	}
	switch {
	case c.BusyboxChecksum == "" && versionForm.MatchString(c.BusyboxVersion):
		problems = append(problems, fmt.Errorf("no checksum is known for busybox %s: give the sha256 of its .tar.bz2, or choose one of %s",
			c.BusyboxVersion, strings.Join(BusyboxVersions(), ", ")))
	case c.BusyboxChecksum != "" && !checksumForm.MatchString(c.BusyboxChecksum):
		problems = append(problems, fmt.Errorf("malformed busybox checksum %q: a sha256 is 64 hexadecimal digits", c.BusyboxChecksum))
	}
	if !slices.Contains(Compressions(), c.Compression) {
		problems = append(problems, fmt.Errorf("unknown compression %q: choose one of %s", c.Compression, listed(Compressions())))
	}
	if !slices.Contains(CertificatePlaces(), c.Certificates) {
		problems = append(problems, fmt.Errorf("unknown place of the CA certificates %q: choose one of %s", c.Certificates, listed(CertificatePlaces())))
	}
	if len(c.Applets.Names()) == 0 {
		problems = append(problems, errors.New("no applets: the image needs at least a shell"))
	} else if err := missingApplets(c.Applets); err != nil && len(c.Entrypoint) == 0 {
		problems = append(problems, err)
	}
	if c.Revision < 1 {
		problems = append(problems, fmt.Errorf("revision is %d: give 1 or more", c.Revision))
	}
	if len(c.Entrypoint) > 0 && !path.IsAbs(c.Entrypoint[0]) {
		problems = append(problems, fmt.Errorf("malformed entrypoint %q: the program's path inside the image is wanted, beginning with /", c.Entrypoint[0]))
	}
	if c.Tag == "" {
		c.Tag = c.DefaultTag()
	} else if _, err := name.NewTag(c.Tag, name.WithDefaultRegistry("")); err != nil {
		problems = append(problems, fmt.Errorf("malformed image tag %q: %w", c.Tag, err))
	}
	return errors.Join(problems...)
}

// completeFeatures makes plain names of the given features and checks them.
func (c *Config) completeFeatures() error {
	selected, err := selectFeatures(c.Features)
	if err != nil {
		return err
	}
	var problems []error
	for _, f := range selected {
		if !featureForm.MatchString(f) {
			problems = append(problems, fmt.Errorf("malformed feature %q: names are lower-case letters, digits and underscores", f))
		}
	}
	if len(problems) == 0 && len(c.Entrypoint) == 0 {
		problems = append(problems, missingFeatures(c.Features, selected))
	}
	c.Features = selected
	return errors.Join(problems...)
}

// checkGoRelease refuses a Go release whose programs can't be stripped, or whose runtime can't be changed.
func (c *Config) checkGoRelease(version string) error {
	known := pclntab.GoReleases()
	if c.KeepSymbols && c.StockRuntime || !versionForm.MatchString(version) ||
		slices.Contains(known, version[:strings.LastIndex(version, ".")]) {
		return nil
	}
	return fmt.Errorf("unsupported Go version %q: choose a release of Go %s, or keep the symbols and the stock runtime",
		version, strings.Join(known, " or "))
}

func checkVersion(what, given, example string) error {
	switch {
	case given == "":
		return fmt.Errorf("no %s: give one such as %s", what, example)
	case !versionForm.MatchString(given):
		return fmt.Errorf("malformed %s %q: three numbers are wanted, such as %s", what, given, example)
	}
	return nil
}

// listed gives the accepted values of an option for an error.
func listed[T ~string](values []T) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}
