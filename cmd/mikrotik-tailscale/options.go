package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// options are the flags on what to build and how. Flags about the image have the same names as the arguments of the
// Dagger module's constructor; a test compares them.
type options struct {
	config       recipe.Config
	addresses    recipe.Addresses
	appletSet    string
	appletFile   string
	appletNames  []string
	labels       []string
	extra        string
	compression  string
	certificates string
	cache        string
	jobs         int
	noCache      bool
	installTools bool
}

func (o *options) tailscaleFlags(flags *pflag.FlagSet) {
	c := &o.config
	flags.StringVar(&c.TailscaleVersion, "tailscale-version", c.TailscaleVersion, "Tailscale release; even minor versions are stable releases")
	flags.StringVar(&c.GoVersion, "go-version", c.GoVersion, "Go release that compiles Tailscale, downloaded if this machine has another one (default the one that the Tailscale release asks for)")
	o.goProxyFlags(flags)
}

func (o *options) goProxyFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.addresses.GoProxy, "go-proxy", "", "GOPROXY setting for downloading Tailscale (default the one of \"go env\")")
	flags.StringVar(&o.addresses.GoSumDB, "go-sumdb", "", "GOSUMDB setting that verifies downloads; off if you trust your own proxy (default the one of \"go env\")")
	o.mirrorFlags(flags)
}

func (o *options) mirrorFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.addresses.DebianMirror, "debian-mirror", "", "URL of a Debian archive, for example http://mirror.example/debian (default Debian's snapshot "+recipe.DebianSnapshot+", or Debian's own archive)")
}

func (o *options) appletFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.appletSet, "applet-set", o.appletSet, "curated list of applets: "+strings.Join(applets.Sets(), " or "))
	flags.StringVar(&o.appletFile, "applets", "", "file with your own list of applets, in place of a curated one")
	flags.StringSliceVar(&o.appletNames, "applet-names", nil, "names of applets, in place of a list")
}

func (o *options) imageFlags(flags *pflag.FlagSet) {
	c := &o.config
	o.tailscaleFlags(flags)
	flags.StringSliceVar(&c.Features, "features", nil,
		"Tailscale features: names replace the default list, +NAME and -NAME change it (see the features command)")
	flags.StringVar(&c.BusyboxVersion, "busybox-version", c.BusyboxVersion, "busybox release")
	flags.StringVar(&c.BusyboxChecksum, "busybox-checksum", "",
		"sha256 of the release's .tar.bz2 (known for "+strings.Join(recipe.BusyboxVersions(), ", ")+")")
	o.busyboxURLFlag(flags)
	o.appletFlags(flags)
	o.compressionFlags(flags)
	flags.BoolVar(&c.KeepSymbols, "keep-symbols", c.KeepSymbols, "keep function names, file names and line numbers in the Tailscale binary, which add a third to the image's size")
	flags.BoolVar(&c.StockRuntime, "stock-runtime", c.StockRuntime, "use Go's runtime and library unchanged, which takes more than 1 MB of the router's memory")
	flags.StringVar(&o.certificates, "certificates", o.certificates, fmt.Sprintf("where the CA certificates are: %v", recipe.CertificatePlaces()))
	flags.StringVar(&o.extra, "extra", "", "directory with files to add to the image; they replace files of the same name")
	flags.StringSliceVar(&c.Entrypoint, "entrypoint", nil, "program that the container starts, with its arguments (default the image's own)")
	flags.StringArrayVar(&o.labels, "labels", nil, "label of the image, as name=value; repeat it for more labels")
	flags.IntVar(&c.Revision, "revision", c.Revision, "revision of the image: the N in the image version "+c.TailscaleVersion+"-mt.N")
}

func (o *options) busyboxURLFlag(flags *pflag.FlagSet) {
	flags.StringVar(&o.addresses.BusyboxURL, "busybox-url", "", "URL to download busybox's .tar.bz2 from (default busybox.net, with the Debian archive as a fallback)")
}

func (o *options) compressionFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.compression, "compression", o.compression, fmt.Sprintf("how binaries are packed: %v", recipe.Compressions()))
}

func cacheFlag(flags *pflag.FlagSet, cache *string) {
	flags.StringVar(cache, "cache-dir", "", "directory for downloads and build outputs (default mikrotik-tailscale in your cache directory)")
}

func (o *options) builderFlags(flags *pflag.FlagSet) {
	cacheFlag(flags, &o.cache)
	flags.IntVar(&o.jobs, "jobs", o.jobs, "number of stages that run at the same time")
	flags.BoolVar(&o.installTools, "install-tools", false, "install missing tools with apt-get, on Debian or Ubuntu as root; without it, the command asks on a terminal")
	flags.BoolVar(&o.noCache, "no-cache", false, "build everything again")
}

func newOptions() *options {
	c := recipe.Default()
	return &options{config: c, appletSet: "default", compression: string(c.Compression), certificates: string(c.Certificates), jobs: 2}
}

// resolve checks the flags and completes the configuration.
func (o *options) resolve() error {
	var problems []error
	o.config.Compression = recipe.Compression(o.compression)
	o.config.Certificates = recipe.CertificatePlace(o.certificates)
	if list, err := o.applets(); err != nil {
		problems = append(problems, err)
	} else {
		o.config.Applets = list
	}
	if o.jobs < 1 {
		problems = append(problems, fmt.Errorf("jobs is %d: want 1 or more", o.jobs))
	}
	labels, err := recipe.ParseLabels(o.labels)
	if err != nil {
		problems = append(problems, err)
	}
	o.config.Labels = labels
	epoch, err := archive.SourceDateEpoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		problems = append(problems, err)
	}
	o.config.Epoch = epoch
	if err := errors.Join(append(problems, o.config.Complete(), o.addresses.Validate())...); err != nil {
		return usageError{err}
	}
	return nil
}

func (o *options) applets() (applets.List, error) {
	if o.appletFile != "" && len(o.appletNames) > 0 {
		return applets.List{}, errors.New("both a file and names of applets: want one of them")
	}
	if len(o.appletNames) > 0 {
		return applets.Parse("applet-names", strings.NewReader(strings.Join(o.appletNames, "\n")))
	}
	if o.appletFile == "" {
		return applets.Named(o.appletSet)
	}
	f, err := os.Open(o.appletFile)
	if err != nil {
		return applets.List{}, fmt.Errorf("reading the applet list: %w", err)
	}
	defer func() { _ = f.Close() }()
	return applets.Parse(o.appletFile, f)
}

func (o *options) builderOptions(p *progress) local.Options {
	return local.Options{
		Cache: o.cache, Jobs: o.jobs, Fresh: o.noCache, Addresses: o.addresses, Observe: p.observe,
		Freed: func(bytes int64) { p.say("cache: removed " + megabytes(bytes) + " that no build has used for 30 days") },
	}
}
