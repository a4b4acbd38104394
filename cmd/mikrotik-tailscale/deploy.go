package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros/deploy"
)

// deployment is one call of the deploy command.
type deployment struct {
	*options
	list      routerList
	access    accessOptions
	tarballs  []string
	authKey   string
	dryRun    bool
	reinstall bool
}

func deployCommand(asJSON *bool) *cobra.Command {
	d := &deployment{options: newOptions()}
	c := &cobra.Command{
		Use:   "deploy admin@192.168.88.1 --subnet 192.168.88.0/24 [--dry-run]",
		Short: "Install or update Tailscale on routers over SSH",
		Long: "Ask routers what they are, build the image for each, and install or update it over SSH and SFTP.\n" +
			"The command prints its plan, uploads image and scripts, runs the install or update script, follows\n" +
			"the container's log, and ends with the login URL or the addresses in the tailnet. If something\n" +
			"fails, or after Ctrl-C, it removes what it added. A second run with the same settings updates the\n" +
			"image, or changes nothing if the router has it already.\n\n" +
			"Several routers are updated at the same time, and one failure does not stop the others. A file\n" +
			"for --routers has one router per line, followed by options for that router:\n" +
			"  admin@192.168.88.1 --subnet 192.168.88.0/24 --hostname attic\n\n" +
			"Host keys are checked against known_hosts. The command shows the key of an unknown router and asks,\n" +
			"or refuses the router if there is no terminal. It logs in with the keys of the SSH agent, key files,\n" +
			"and a password. Passwords and keys are never arguments. Their places are " + deploySecretForms + ".",
		Example: "  mikrotik-tailscale deploy admin@192.168.88.1 --subnet 192.168.88.0/24\n" +
			"  mikrotik-tailscale deploy admin@192.168.88.1 --exit-node --auth-key env://TS_AUTHKEY --password prompt\n" +
			"  mikrotik-tailscale deploy --routers sites.txt --firewall --auth-key file://key.txt --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd, args, *asJSON)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&d.list.file, "routers", "", "file with more routers, one per line, each followed by its own options")
	flags.BoolVar(&d.dryRun, "dry-run", false, "ask the routers and print the plan; build nothing and change nothing")
	flags.BoolVar(&d.reinstall, "reinstall", false, "if the settings have changed, remove the installation and install it again with its state")
	flags.StringSliceVar(&d.tarballs, "tarball", nil, "tarballs that the build command wrote, instead of building; the platform is in the tarball")
	flags.StringVar(&d.authKey, "auth-key", "", "place of the key to log in to the tailnet: "+deploySecretForms+" (default none: the command ends with a login URL)")
	d.access.flags(flags)
	d.list.flags(flags)
	d.imageFlags(flags)
	d.builderFlags(flags)
	return c
}

// run reports everything that is wrong with the call, and then updates each router as needed.
func (d *deployment) run(cmd *cobra.Command, args []string, asJSON bool) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if err := d.resolve(); err != nil {
		return err
	}
	sites, err := d.list.read(args)
	if err != nil {
		return usageError{err}
	}
	given, err := readImages(d.tarballs)
	if err != nil {
		return usageError{err}
	}
	ask := newTerminal(stderr)
	key, err := readAuthKey(ctx, ask, d.authKey)
	if err != nil {
		return usageError{err}
	}
	access, closeAccess, err := d.access.open(ctx, ask)
	if err != nil {
		return usageError{err}
	}
	defer closeAccess()

	for _, s := range sites {
		s.Wishes.Reinstall = d.reinstall
	}
	fleet := &deploy.Fleet{Access: access, Sites: sites, Images: given, Key: key}
	fleet.Inspect(ctx)
	if !asJSON {
		for _, line := range fleet.Plan() {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), line)
		}
	}
	if !d.dryRun {
		if err := d.apply(ctx, fleet, stderr); err != nil {
			return err
		}
	}
	return reportFleet(ctx, cmd.OutOrStdout(), stderr, asJSON, fleet)
}

// apply builds the images and installs them on the routers.
func (d *deployment) apply(ctx context.Context, fleet *deploy.Fleet, stderr io.Writer) error {
	directory, err := os.MkdirTemp("", "mikrotik-tailscale-*")
	if err != nil {
		return fmt.Errorf("creating a directory for the images: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }()
	fleet.Build = func(ctx context.Context, targets []platform.Target) ([]deploy.Image, error) {
		return d.buildFor(ctx, targets, directory, stderr)
	}
	if err := fleet.Prepare(ctx); err != nil {
		return err
	}
	lines := newLines(stderr, fleet.Sites)
	defer lines.close()
	stop := context.AfterFunc(ctx, func() {
		lines.say("interrupted: removing everything that was added; Ctrl-C again leaves it there")
	})
	defer stop()
	fleet.Apply(ctx, lines.observe, lines.end)
	return nil
}

// buildFor builds images like the build command.
func (d *deployment) buildFor(ctx context.Context, targets []platform.Target, directory string, stderr io.Writer) (built []deploy.Image, err error) {
	p := newProgress(stderr)
	defer p.close()
	err = d.products(ctx, targets, p, func(_ assembly.StageRunner, products []assembly.Product, _ string) error {
		for _, product := range products {
			path, t, err := product.Write(ctx, directory)
			if err != nil {
				return fmt.Errorf("building for %s: %w", product.Target, err)
			}
			built = append(built, deploy.Image{Platform: product.Target, Path: path, Size: t.Size, Checksum: "sha256:" + t.SHA256})
		}
		return nil
	})
	return built, err
}

// readImages reads the platforms of tarballs.
func readImages(paths []string) (all []deploy.Image, err error) {
	for _, path := range paths {
		img, err := readImage(path)
		if err != nil {
			return nil, fmt.Errorf("reading the tarball %s: %w", path, err)
		}
		if i := slices.IndexFunc(all, func(o deploy.Image) bool { return o.Platform.Name == img.Platform.Name }); i >= 0 {
			return nil, fmt.Errorf("the tarballs %s and %s are both for %s: want one for each platform", all[i].Path, path, img.Platform)
		}
		all = append(all, img)
	}
	return all, nil
}

func readImage(path string) (deploy.Image, error) {
	content, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		return deploy.Image{}, err
	}
	config, err := content.ConfigFile()
	if err != nil {
		return deploy.Image{}, err
	}
	t, err := platform.Parse(strings.TrimSuffix(config.OS+"/"+config.Architecture+"/"+config.Variant, "/"))
	if err != nil {
		return deploy.Image{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return deploy.Image{}, err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return deploy.Image{Platform: t, Path: path, Size: n, Checksum: fmt.Sprintf("sha256:%x", sum.Sum(nil))}, err
}

// reportFleet prints the result. It returns an error that has already been shown.
func reportFleet(ctx context.Context, stdout, stderr io.Writer, asJSON bool, fleet *deploy.Fleet) error {
	failed, total := fleet.Failed(), len(fleet.Sites)
	if asJSON {
		var all []deploy.Report
		for _, s := range fleet.Sites {
			all = append(all, s.Report())
		}
		if err := printJSON(stdout, map[string]any{"routers": all}); err != nil {
			return err
		}
	} else {
		for _, s := range fleet.Sites {
			done, wrong := s.Outcome()
			for _, line := range done {
				_, _ = fmt.Fprintln(stdout, line)
			}
			for _, line := range wrong {
				_, _ = fmt.Fprintf(stderr, "Error: %s\n", line)
			}
		}
		if total > 1 {
			_, _ = fmt.Fprintf(stdout, "%d routers: %d done, %d failed\n", total, total-failed, failed)
		}
	}
	if failed > 0 || ctx.Err() != nil {
		return shownError{fmt.Errorf("%d of %d routers failed", failed, total)}
	}
	return nil
}
