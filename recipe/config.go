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

// Config has everything that a user can choose about an image. Start with Default, change some fields, and call
// Complete before you create stages.
//
// Download addresses are not part of it: see Addresses.
type Config struct {
	// TailscaleVersion is a Tailscale release without the leading "v", for example 1.104.5.
	TailscaleVersion string `json:"tailscaleVersion"`
	// Revision is the N in -mt.N, starting at 1. It distinguishes images of one Tailscale release.
	Revision int `json:"revision"`
	// Features are the Tailscale features to build. Their dependencies are added. Names with a + or - change the
	// default list, and an empty list means the default. Complete replaces them with plain names.
	Features []string `json:"features"`
	// BusyboxVersion is a busybox release, for example 1.38.0.
	BusyboxVersion string `json:"busyboxVersion"`
	// BusyboxChecksum is the sha256 of the release's .tar.bz2, 64 hexadecimal digits. It may be empty for a version
	// in BusyboxVersions.
	BusyboxChecksum string `json:"busyboxChecksum"`
	// Applets are the applets of the image's busybox.
	Applets applets.List `json:"applets"`
	// Compression is how the binaries are packed.
	Compression Compression `json:"compression"`
	// KeepSymbols keeps function names, file names and line numbers in Tailscale's program. They are only used in
	// crash reports and add a third to the image's size.
	KeepSymbols bool `json:"keepSymbols"`
	// StockRuntime uses Go's runtime and library unchanged. Otherwise, the daemon and each command use less memory.
	StockRuntime bool `json:"stockRuntime"`
	// Certificates is where the image has the CA certificates.
	Certificates CertificatePlace `json:"certificates"`
	// GoVersion is the Go release that compiles Tailscale. Another one results in other bytes. If it is empty, the
	// Tailscale release decides: see Resolved.
	GoVersion string `json:"goVersion"`
	// Epoch is the time of the image and of every file in it.
	Epoch time.Time `json:"epoch"`
	// Tag is the repository and tag of the image in its tarball. The default is DefaultTag.
	Tag string `json:"tag"`
	// Entrypoint is the program that a container starts, with its arguments. The default is the image's own.
	Entrypoint []string `json:"entrypoint,omitempty"`
	// Labels are additional labels of the image. They override the image's own.
	Labels map[string]string `json:"labels,omitempty"`
}

// Compression is how binaries are packed for the router's flash.
type Compression string

const (
	// CompressionLauncher adds a small launcher to the packed binary, which unpacks it into memory once. It is the
	// smallest. Commands share the memory of the running daemon.
	CompressionLauncher Compression = "launcher"
	// CompressionUPX packs with UPX, with LZMA at its best level. Every start unpacks again.
	CompressionUPX Compression = "upx"
	// CompressionNone doesn't pack binaries. They start fast and use little memory, but take more than five times the
	// size on flash.
	CompressionNone Compression = "none"
)

// Compressions returns the accepted values of Config.Compression.
func Compressions() []Compression {
	return []Compression{CompressionLauncher, CompressionUPX, CompressionNone}
}

// Default returns the configuration of the default image.
func Default() Config {
	list, err := applets.Named("default")
	if err != nil {
		panic(err) // the set is embedded, and tested
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

// ImageVersion returns the version of the image: Tailscale's version and the revision.
func (c Config) ImageVersion() string { return fmt.Sprintf("%s-mt.%d", c.TailscaleVersion, c.Revision) }

// DefaultTag returns the default repository and tag in tarballs.
func (c Config) DefaultTag() string { return Title + ":" + c.ImageVersion() }

// ParseLabels parses labels in the form name=value.
func ParseLabels(given []string) (map[string]string, error) {
	labels, problems := map[string]string{}, []error(nil)
	for _, l := range given {
		name, value, found := strings.Cut(l, "=")
		if _, twice := labels[name]; !found || name == "" || twice {
			problems = append(problems, fmt.Errorf("malformed label %q: want name=value, each name once", l))
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

// Complete fills in what follows from the choices: plain feature names, the checksum of a known busybox release, and
// the tag. The error contains all mistakes that can be found without building anything.
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
		problems = append(problems, fmt.Errorf("no checksum is known for busybox %s: want the sha256 of its .tar.bz2, or one of %s",
			c.BusyboxVersion, strings.Join(BusyboxVersions(), ", ")))
	case c.BusyboxChecksum != "" && !checksumForm.MatchString(c.BusyboxChecksum):
		problems = append(problems, fmt.Errorf("malformed busybox checksum %q: want a sha256, 64 hexadecimal digits", c.BusyboxChecksum))
	}
	if !slices.Contains(Compressions(), c.Compression) {
		problems = append(problems, fmt.Errorf("unknown compression %q: choose one of %s", c.Compression, join(Compressions())))
	}
	if !slices.Contains(CertificatePlaces(), c.Certificates) {
		problems = append(problems, fmt.Errorf("unknown place of the CA certificates %q: choose one of %s", c.Certificates, join(CertificatePlaces())))
	}
	if len(c.Applets.Names()) == 0 {
		problems = append(problems, errors.New("no applets: the image needs at least a shell"))
	} else if err := missingApplets(c.Applets); err != nil && len(c.Entrypoint) == 0 {
		problems = append(problems, err)
	}
	if c.Revision < 1 {
		problems = append(problems, fmt.Errorf("revision is %d: want 1 or more", c.Revision))
	}
	if len(c.Entrypoint) > 0 && !path.IsAbs(c.Entrypoint[0]) {
		problems = append(problems, fmt.Errorf("malformed entrypoint %q: want the program's path inside the image, beginning with /", c.Entrypoint[0]))
	}
	if c.Tag == "" {
		c.Tag = c.DefaultTag()
	} else if _, err := name.NewTag(c.Tag, name.WithDefaultRegistry("")); err != nil {
		problems = append(problems, fmt.Errorf("malformed image tag %q: %w", c.Tag, err))
	}
	return errors.Join(problems...)
}

// completeFeatures checks the given features, and replaces them with plain names.
func (c *Config) completeFeatures() error {
	selected, err := selectFeatures(c.Features)
	if err != nil {
		return err
	}
	var problems []error
	for _, f := range selected {
		if !featureForm.MatchString(f) {
			problems = append(problems, fmt.Errorf("malformed feature %q: want lower-case letters, digits and underscores", f))
		}
	}
	if len(problems) == 0 && len(c.Entrypoint) == 0 {
		problems = append(problems, missingFeatures(c.Features, selected))
	}
	c.Features = selected
	return errors.Join(problems...)
}

// checkGoRelease returns an error for a Go release whose programs can't be stripped, or whose runtime can't be
// changed.
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
		return fmt.Errorf("no %s: want one such as %s", what, example)
	case !versionForm.MatchString(given):
		return fmt.Errorf("malformed %s %q: want three numbers, for example %s", what, given, example)
	}
	return nil
}

// join returns the accepted values of an option as a list.
func join[T ~string](values []T) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}
