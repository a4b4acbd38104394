package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

func publishCommand(asJSON *bool) *cobra.Command {
	o := newOptions()
	var arch, tags []string
	var address, username, password, signingKey, signingPassword string
	var insecure, noSources, dryRun bool
	c := &cobra.Command{
		Use:   "publish --address registry.example/me/tailscale [--tags stable] [--dry-run]",
		Short: "Push the images of all platforms to a registry",
		Long: "Build the images and push them to a registry as one multi-platform index, with their SBOMs,\n" +
			"symbols, provenance and the corresponding source of busybox attached as OCI referrers. Each tag also\n" +
			"exists once per platform, for example " + recipe.TailscaleVersion + "-mt.1-armv5. The same inputs produce the same\n" +
			"digest, and the command does not push again what the registry already has. It prints the reference\n" +
			"with the digest.\n\n" +
			"The registry is asked for permission to push before anything is built. Without --username, the\n" +
			"credentials come from Docker's configuration (docker login) or Podman's.\n\n" +
			"With --signing-key, the index, the images, the SBOMs and the provenance get signatures that\n" +
			"\"cosign verify --key\" accepts.",
		Example: "  mikrotik-tailscale publish --address registry.example/me/tailscale --tags stable --username me --password env://TOKEN\n" +
			"  mikrotik-tailscale publish --address registry.example/me/tailscale:edge --arch arm64,arm --dry-run",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if address == "" {
				return usageError{errors.New("no address: want --address with registry and repository, for example registry.example/me/tailscale")}
			}
			targets, err := parseTargets(arch)
			if err != nil {
				return usageError{err}
			}
			if err := o.resolve(); err != nil {
				return err
			}
			secrets, err := readSecrets(map[string]string{"password": password, "signing-key": signingKey, "signing-password": signingPassword})
			if err != nil {
				return usageError{err}
			}
			d, err := publish.NewDestination(address, o.config.ImageVersion(), tags, username, secrets["password"], insecure)
			if err != nil {
				return usageError{err}
			}
			key, err := signing.Load(secrets["signing-key"], secrets["signing-password"])
			if err != nil {
				return usageError{err}
			}
			p := newProgress(cmd.ErrOrStderr())
			contents, err := publishTo(cmd.Context(), o, targets, d, publication{address: address, parts: publish.Parts{Sources: !noSources, Key: key}, dryRun: dryRun}, p)
			p.close()
			if err != nil {
				return err
			}
			return reportPublished(cmd.OutOrStdout(), cmd.ErrOrStderr(), *asJSON, contents, dryRun, p)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&address, "address", "", "registry and repository, optionally with a tag (default tag the image's version)")
	flags.StringSliceVar(&tags, "tags", nil, "more tags for the same index, for example stable")
	flags.StringSliceVar(&arch, "arch", []string{platform.Every}, "platforms to publish, or \"all\"")
	flags.StringVar(&username, "username", "", "user name for the registry; needs --password, too")
	flags.StringVar(&password, "password", "", "place of the password or token: "+secretForms)
	flags.StringVar(&signingKey, "signing-key", "", "place of the private key to sign with, from cosign generate-key-pair: "+secretForms)
	flags.StringVar(&signingPassword, "signing-password", "", "place of the signing key's password: "+secretForms)
	flags.BoolVar(&insecure, "insecure", false, "use plain HTTP; not needed for a registry on this machine")
	flags.BoolVar(&noSources, "no-sources", false, "don't attach the corresponding source of busybox; offer it in another way")
	flags.BoolVar(&dryRun, "dry-run", false, "build everything and print what would be pushed; don't contact the registry")
	o.imageFlags(flags)
	o.builderFlags(flags)
	return c
}

// publication is how to publish images.
type publication struct {
	address string
	parts   publish.Parts
	dryRun  bool
}

// publishTo checks the registry, builds the images and pushes them.
func publishTo(ctx context.Context, o *options, targets []platform.Target, d publish.Destination, how publication, p *progress) (c publish.Contents, err error) {
	if !how.dryRun {
		if d, err = d.WithKeychain(ctx, authn.DefaultKeychain); err != nil {
			return c, err
		}
		if err := p.during("registry", func() error { return publish.Check(ctx, d, nil) }); err != nil {
			return c, err
		}
	}
	err = o.products(ctx, targets, p, func(run assembly.StageRunner, products []assembly.Product, _ string) error {
		b := attest.Build{Builder: attest.BuilderCommand, Products: products}
		release, err := publish.ForBuild(ctx, run, b, how.address, how.parts)
		if err != nil {
			return err
		}
		if c, err = publish.ContentsOf(d, release); err != nil || how.dryRun {
			return err
		}
		return p.during("push", func() error {
			if _, err := publish.Push(ctx, d, release, nil); err != nil {
				return pushError{err}
			}
			return nil
		})
	})
	return c, err
}

// reportPublished prints only the reference to the standard output, for scripts, and the details to the standard
// error.
func reportPublished(stdout, stderr io.Writer, asJSON bool, c publish.Contents, dryRun bool, p *progress) error {
	if asJSON {
		return printJSON(stdout, struct {
			publish.Contents
			Pushed bool    `json:"pushed"`
			Stages []stage `json:"stages"`
		}{c, !dryRun, stagesOf(p.ended)})
	}
	what := "Pushed to"
	if dryRun {
		what = "Would push to"
	}
	if _, err := fmt.Fprintf(stderr, "%s %s:\n%s", what, c.Repository, c.Table()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, c.Reference)
	return err
}
