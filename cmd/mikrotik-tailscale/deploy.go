package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dagger/mikrotik-tailscale/assembly"
	"dagger/mikrotik-tailscale/deploy"
	"dagger/mikrotik-tailscale/platform"
)

// atOnce is how many routers are worked on at the same time.
const atOnce = 16

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
			"Several routers are worked on at the same time, and one failure does not stop the others. A file\n" +
			"for --routers has a router in each line, and options for that router behind it:\n" +
			"  admin@192.168.88.1 --subnet 192.168.88.0/24 --hostname attic\n\n" +
			"Host keys are checked against known_hosts. The command shows the key of an unknown router and asks,\n" +
			"or refuses the router if there is no terminal. It logs in with the keys of the SSH agent, key files,\n" +
			"and a password. Passwords and keys are never arguments: give " + deploySecretForms + ".",
		Example: "  mikrotik-tailscale deploy admin@192.168.88.1 --subnet 192.168.88.0/24\n" +
			"  mikrotik-tailscale deploy admin@192.168.88.1 --exit-node --auth-key env://TS_AUTHKEY --password prompt\n" +
			"  mikrotik-tailscale deploy --routers sites.txt --firewall --auth-key file://key.txt --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd, args, *asJSON)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&d.list.file, "routers", "", "file with more routers, one a line, each with options of its own")
	flags.BoolVar(&d.dryRun, "dry-run", false, "ask the routers and print the plan; build nothing and change nothing")
	flags.BoolVar(&d.reinstall, "reinstall", false, "if the settings have changed, remove the installation and install it again with its state")
	flags.StringSliceVar(&d.tarballs, "tarball", nil, "tarballs that the build command wrote, instead of building; the platform is in the tarball")
	flags.StringVar(&d.authKey, "auth-key", "", "where the key to log in to the tailnet is: "+deploySecretForms+" (default none: the command ends with a login URL)")
	d.access.flags(flags)
	d.list.flags(flags)
	d.imageFlags(flags)
	d.driverFlags(flags)
	return c
}

// site is a router, and what became of it.
type site struct {
	target
	facts  deploy.Facts
	image  deploy.Image
	plan   deploy.Plan
	result deploy.Result
	// planned says that plan is complete, begun that the router may have been changed, and done that it is as it
	// should be.
	planned, begun, done bool
	err                  error
}

// run finds everything that is wrong with the call, and then does what is left to do for each router.
func (d *deployment) run(cmd *cobra.Command, args []string, asJSON bool) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if err := d.resolve(); err != nil {
		return err
	}
	targets, err := d.list.read(args)
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

	var sites []*site
	for _, t := range targets {
		t.wishes.Key, t.wishes.Reinstall = key != "", d.reinstall
		sites = append(sites, &site{target: t})
	}
	d.inspect(ctx, access, sites, given)
	if !asJSON {
		showPlans(cmd.OutOrStdout(), sites)
	}
	if !d.dryRun {
		if err := d.deploy(ctx, access, sites, given, key, stderr); err != nil {
			return err
		}
	}
	return reportSites(ctx, cmd.OutOrStdout(), stderr, asJSON, d.dryRun, sites)
}

// each does something for all routers that nothing went wrong with.
func each(sites []*site, do func(*site) error) {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, s := range sites {
		if s.err == nil {
			group.Go(func() error {
				s.err = do(s)
				return nil
			})
		}
	}
	_ = group.Wait()
}

// inspect asks the routers, and plans with the images that there are or will be.
func (d *deployment) inspect(ctx context.Context, access deploy.Access, sites []*site, given []deploy.Image) {
	each(sites, func(s *site) (err error) {
		if s.facts, err = deploy.Inspect(ctx, access, s.address, s.wishes.Options.Name); err != nil {
			return err
		}
		t, err := deploy.Target(s.facts, s.wishes.Options.Arch)
		if err != nil {
			return err
		}
		if s.wishes.Options.Image != "" {
			s.image, err = deploy.Expected(t)
		} else {
			s.image, err = imageFor(t, given)
		}
		if err != nil {
			return err
		}
		s.plan, err = deploy.NewPlan(s.facts, s.wishes, s.image)
		s.planned = err == nil
		return err
	})
}

// imageFor chooses the tarball for a platform. If none was given, the image is still to be built.
func imageFor(t platform.Target, given []deploy.Image) (deploy.Image, error) {
	if len(given) == 0 {
		return deploy.Expected(t)
	}
	for _, img := range given {
		if img.Platform.Name == t.Name {
			return img, nil
		}
	}
	return deploy.Image{}, fmt.Errorf("none of the tarballs is for %s, which this router needs", t)
}

// deploy builds the images and brings them to the routers.
func (d *deployment) deploy(ctx context.Context, access deploy.Access, sites []*site, given []deploy.Image, key string, stderr io.Writer) error {
	if len(given) == 0 {
		folder, err := os.MkdirTemp("", "mikrotik-tailscale-*")
		if err != nil {
			return fmt.Errorf("making a folder for the images: %w", err)
		}
		defer func() { _ = os.RemoveAll(folder) }()
		if given, err = d.buildFor(ctx, sites, folder, stderr); err != nil {
			return err
		}
	}
	lines := newLines(stderr, sites)
	defer lines.close()
	stop := context.AfterFunc(ctx, func() {
		lines.say("interrupted: removing what was added; Ctrl-C again leaves it there")
	})
	defer stop()
	each(sites, func(s *site) (err error) {
		defer func() { lines.end(s, err) }()
		if s.wishes.Options.Image == "" {
			if s.image, err = imageFor(s.image.Platform, given); err != nil {
				return err
			}
			if s.plan, err = deploy.NewPlan(s.facts, s.wishes, s.image); err != nil {
				return err
			}
		}
		if s.plan.Action == deploy.Nothing {
			s.done, s.result.State = true, deploy.Unchanged
			return nil
		}
		s.begun = true
		s.result, err = deploy.Apply(ctx, access, s.address, s.plan, s.image, key, func(e deploy.Event) { lines.observe(s, e) })
		s.done = err == nil
		return err
	})
	return nil
}

// buildFor builds the images for the routers that need one, as the build command does.
func (d *deployment) buildFor(ctx context.Context, sites []*site, folder string, stderr io.Writer) (built []deploy.Image, err error) {
	var targets []platform.Target
	for _, s := range sites {
		if s.err == nil && s.wishes.Options.Image == "" && !slices.ContainsFunc(targets, func(t platform.Target) bool { return t.Name == s.image.Platform.Name }) {
			targets = append(targets, s.image.Platform)
		}
	}
	if len(targets) == 0 {
		return nil, nil
	}
	p := newProgress(stderr)
	defer p.close()
	err = d.products(ctx, targets, p, func(_ assembly.Outputs, products []assembly.Product, _ string) error {
		for _, product := range products {
			path, t, err := product.Write(ctx, folder)
			if err != nil {
				return fmt.Errorf("building for %s: %w", product.Target, err)
			}
			built = append(built, deploy.Image{Platform: product.Target, Path: path, Size: t.Size, Checksum: "sha256:" + t.SHA256})
		}
		return nil
	})
	return built, err
}

// readImages reads which platforms tarballs are for.
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

// showPlans prints what is going to happen.
func showPlans(w io.Writer, sites []*site) {
	for _, s := range sites {
		if !s.planned {
			continue
		}
		f, p := s.facts, s.plan
		where := cmp.Or(p.Options.Disk, "the internal storage")
		source := cmp.Or(p.Options.Image, fmt.Sprintf("the image for %s (%.1f MiB)", p.Platform, float64(s.image.Size)/(1<<20)))
		action := fmt.Sprintf("%s %s on %s", p.Action, source, where)
		switch {
		case p.Action == deploy.Nothing:
			action = "nothing to do"
		case p.Action == deploy.Update && s.image.Checksum == "":
			action = "update if it has another image than " + source
		}
		_, _ = fmt.Fprintf(w, "%s: %s, %s, %s, RouterOS %s: %s\n", s.address, f.Identity, f.Board, f.Architecture, f.RouterOS, action)
		for _, note := range p.Notes {
			_, _ = fmt.Fprintf(w, "%s: note: %s\n", s.address, note)
		}
	}
}

// shownSite is a router as --json shows it.
type shownSite struct {
	Router string        `json:"router"`
	State  string        `json:"state"`
	Facts  *deploy.Facts `json:"facts,omitempty"`
	Plan   *shownPlan    `json:"plan,omitempty"`
	deploy.Result
	Error string `json:"error,omitempty"`
}

type shownPlan struct {
	Action   deploy.Action `json:"action"`
	Platform string        `json:"platform"`
	Image    string        `json:"image,omitempty"`
	Size     int64         `json:"size,omitempty"`
	Disk     string        `json:"disk,omitempty"`
	Hostname string        `json:"hostname"`
	InPlace  bool          `json:"in_place,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
}

func (s *site) shown() shownSite {
	all := shownSite{Router: s.address.String(), State: "failed", Result: s.result}
	if s.facts.RouterOS != "" {
		all.Facts = &s.facts
	}
	if s.planned {
		o := s.plan.Options
		all.Plan = &shownPlan{s.plan.Action, s.plan.Platform.Name, o.Image, s.image.Size, o.Disk, o.Hostname, o.InPlace, s.plan.Notes}
	}
	switch {
	case s.err != nil:
		all.Error = s.err.Error()
	case s.done:
		all.State = string(s.result.State)
	default:
		all.State = "planned"
	}
	return all
}

// reportSites tells how it ended. Its error is one that was shown already.
func reportSites(ctx context.Context, stdout, stderr io.Writer, asJSON, dryRun bool, sites []*site) error {
	failed := 0
	var all []shownSite
	for _, s := range sites {
		if errors.Is(s.err, context.Canceled) && !s.begun {
			s.err = errors.New("interrupted, nothing was changed")
		}
		if s.err != nil {
			failed++
		}
		all = append(all, s.shown())
	}
	if asJSON {
		if err := printJSON(stdout, map[string]any{"routers": all}); err != nil {
			return err
		}
	} else {
		for _, s := range sites {
			s.print(stdout, stderr)
		}
		if len(sites) > 1 {
			_, _ = fmt.Fprintf(stdout, "%d routers: %d done, %d failed\n", len(sites), len(sites)-failed, failed)
		}
	}
	if failed > 0 || ctx.Err() != nil && !dryRun {
		return shownError{fmt.Errorf("%d of %d routers failed", failed, len(sites))}
	}
	return nil
}

// print prints how it ended for a router.
func (s *site) print(stdout, stderr io.Writer) {
	r := s.result
	switch {
	case s.err != nil:
		for line := range strings.Lines(s.err.Error()) {
			_, _ = fmt.Fprintf(stderr, "Error: %s: %s\n", s.address, strings.TrimSuffix(line, "\n"))
		}
		return
	case !s.done:
		return
	case r.LoginURL != "":
		_, _ = fmt.Fprintf(stdout, "%s: %s; log it in at %s\n", s.address, r.State, r.LoginURL)
	case len(r.Addresses) > 0:
		_, _ = fmt.Fprintf(stdout, "%s: %s; in the tailnet as %s\n", s.address, r.State, strings.Join(r.Addresses, " and "))
	default:
		_, _ = fmt.Fprintf(stdout, "%s: %s\n", s.address, r.State)
	}
	if r.Note != "" {
		_, _ = fmt.Fprintf(stdout, "%s: note: %s\n", s.address, r.Note)
	}
}
