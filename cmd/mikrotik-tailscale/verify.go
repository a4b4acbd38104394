package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/image/reproduce"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func verifyCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch []string
	var address, username, password, key string
	var insecure bool
	c := &cobra.Command{
		Use:   "verify --address registry.example/me/tailscale:stable [--key cosign.pub]",
		Short: "Rebuild a published image from its provenance and compare the digests",
		Long: "Read the provenance of a published image, build the image again from source with the same\n" +
			"configuration, and compare the digests of the platforms and of the index. If they differ, the\n" +
			"command names the files and settings that differ, and exits with 1.\n\n" +
			"With --key, the index, each image and the provenance must have a signature of this public key.\n" +
			"Without it, the command says nothing about who published the image.\n\n" +
			"Use the version of this program that published the image. Files that the publisher added with\n" +
			"--extra are not in the provenance, only their checksums: get the directory from the publisher\n" +
			"and pass it with --extra.",
		Example: "  mikrotik-tailscale verify --address registry.example/me/tailscale:stable --key cosign.pub\n" +
			"  mikrotik-tailscale verify --address registry.example/me/tailscale@sha256:… --arch arm64",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if address == "" {
				return usageError{errors.New("no address: want --address with a published image, as in registry.example/me/tailscale:stable")}
			}
			targets, err := platform.ParseAll(arch)
			if err != nil {
				return usageError{err}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			secret, err := readSecret("password", password)
			if err != nil {
				return usageError{err}
			}
			source, err := publish.NewSource(address, username, secret, insecure)
			if err != nil {
				return usageError{err}
			}
			public, err := readPublicKey(key)
			if err != nil {
				return usageError{err}
			}
			p := newProgress(cmd.ErrOrStderr())
			result, err := o.verify(cmd.Context(), source, targets, public, p)
			p.close()
			if err != nil {
				return err
			}
			return reportVerified(cmd.OutOrStdout(), *asJSON, result)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&address, "address", "", "published image: registry and repository with a tag, a digest or both")
	flags.StringSliceVar(&arch, "arch", []string{platform.Every}, "platforms to build again, or \"all\"")
	flags.StringVar(&key, "key", "", "file with the publisher's public key, such as cosign.pub")
	flags.StringVar(&o.extra, "extra", "", "directory with the files that the publisher added to the image")
	flags.StringVar(&username, "username", "", "user name for the registry; needs --password, too")
	flags.StringVar(&password, "password", "", "place of the password or token: "+secretForms)
	flags.BoolVar(&insecure, "insecure", false, "use plain HTTP; not needed for a registry on this machine")
	o.busyboxURLFlag(flags)
	o.goProxyFlags(flags)
	o.builderFlags(flags)
	return c
}

// readPublicKey reads a public key file. It returns nil without a file.
func readPublicKey(path string) (*signing.PublicKey, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading --key: %w", err)
	}
	k, err := signing.ParsePublicKey(string(text))
	return &k, err
}

// verify builds a published release again and compares it.
func (o *options) verify(ctx context.Context, source publish.Source, targets []platform.Target, key *signing.PublicKey, p *progress) (r reproduce.Result, err error) {
	if source, err = source.WithKeychain(ctx, authn.DefaultKeychain); err != nil {
		return r, err
	}
	var published publish.Published
	err = p.during("registry", func() error {
		published, err = publish.Pull(ctx, source, reproduce.Types, nil)
		return err
	})
	if err != nil {
		return r, err
	}
	record, err := reproduce.Origin(published, key)
	if err != nil {
		return r, fmt.Errorf("%s: %w", published.Reference, err)
	}
	if key != nil {
		if err := reproduce.CheckSignatures(published, *key); err != nil {
			return r, fmt.Errorf("%s: %w", published.Reference, err)
		}
	}
	if targets, err = chosen(published, targets); err != nil {
		return r, usageError{err}
	}
	if err := checkExtra(record, o.extra); err != nil {
		return r, usageError{err}
	}
	o.config = record.Config
	var stages []string
	compareStages := func(resolved recipe.Resolved) (err error) {
		if stages, err = otherStages(published, record, resolved); len(stages) > 0 {
			p.say("warning: this version of the program does not build like the one that published the image, so the digests will probably differ:\n  " + strings.Join(stages, "\n  "))
		}
		return err
	}
	err = o.productsAfter(ctx, targets, p, compareStages, func(run assembly.StageRunner, products []assembly.Product, _ string) error {
		again, err := publish.Assembled(products)
		if err != nil {
			return err
		}
		if r, err = reproduce.Compare(published, again); err != nil || r.Reproduced {
			return err
		}
		inputs, err := otherInputs(ctx, run, published, record, products)
		r.Causes = slices.Concat(stages, inputs)
		return err
	})
	r.Builder, r.Signed = record.Builder, key != nil
	return r, err
}

// chosen returns the targets to build again, in the order of the index. All targets of this program mean all platforms
// of the index.
func chosen(published publish.Published, targets []platform.Target) ([]platform.Target, error) {
	var all, wanted []platform.Target
	for _, i := range published.Images {
		all = append(all, i.Target)
		if slices.ContainsFunc(targets, func(t platform.Target) bool { return t.Name == i.Target.Name }) {
			wanted = append(wanted, i.Target)
		}
	}
	if len(targets) == len(platform.All()) {
		return all, nil
	}
	if len(wanted) < len(targets) {
		return nil, fmt.Errorf("%s has no image for some of the platforms: it has %v", published.Reference, all)
	}
	return wanted, nil
}

// checkExtra compares the files of a directory with the files that the publisher added.
func checkExtra(record attest.Record, extra string) error {
	var given map[string]string
	if extra != "" {
		var err error
		if given, err = assembly.Fingerprint(extra); err != nil {
			return err
		}
	}
	if maps.Equal(given, record.Extra) {
		return nil
	}
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(record.Extra)) {
		if given[path] != record.Extra[path] {
			lines = append(lines, path+" "+record.Extra[path])
		}
	}
	switch {
	case len(lines) > 0:
		return fmt.Errorf("the publisher added files whose content the provenance does not have: pass a directory that has them with --extra:\n  %s", strings.Join(lines, "\n  "))
	case len(record.Extra) == 0:
		return fmt.Errorf("the image was published without additional files: leave out --extra %s", extra)
	}
	return fmt.Errorf("the directory %s has files that the image was published without: it must have %s and nothing else",
		extra, strings.Join(slices.Sorted(maps.Keys(record.Extra)), ", "))
}

// otherStages returns the stages in which this program differs from the one that published a release.
func otherStages(published publish.Published, record attest.Record, resolved recipe.Resolved) ([]string, error) {
	b := attest.Build{}
	for _, i := range published.Images {
		b.Products = append(b.Products, assembly.Product{Plan: recipe.Plan{Target: i.Target, Config: record.Config, Resolved: resolved}})
	}
	return record.OtherStages(b)
}

// otherInputs returns the differences between this build's dependencies and the published ones.
func otherInputs(ctx context.Context, run assembly.StageRunner, published publish.Published, record attest.Record, products []assembly.Product) ([]string, error) {
	if len(products) < len(published.Images) {
		return nil, nil // the provenance is about all platforms
	}
	text, err := attest.Provenance(ctx, run, attest.Build{Builder: attest.BuilderCommand, Products: products},
		[]attest.Subject{{Name: recipe.Title, SHA256: published.Digest}})
	if err != nil {
		return nil, err
	}
	own, err := attest.ReadProvenance(text)
	if err != nil {
		return nil, err
	}
	return record.OtherInputs(own), nil
}

// reportVerified prints a result. If the digests differ, it returns an error that the result has already shown.
func reportVerified(w io.Writer, asJSON bool, r reproduce.Result) error {
	var err error
	if asJSON {
		err = printJSON(w, r)
	} else {
		_, err = io.WriteString(w, r.Table())
	}
	if err == nil && !r.Reproduced {
		err = shownError{errors.New("the published image differs from the one built from its provenance")}
	}
	return err
}
