package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"dagger/mikrotik-tailscale/platform"
)

// atOnce is how many routers are handled at the same time.
const atOnce = 16

// Fleet is a number of routers. An error on one of them is stored in its Err and does not stop the others.
type Fleet struct {
	Access Access
	Sites  []*Site
	// Images are the available images. If there are none, Build builds the images that are needed.
	Images []Image
	Build  func(ctx context.Context, targets []platform.Target) ([]Image, error)
	// Key is the key for logging in to the tailnet. Without it, a person has to log the routers in.
	Key string
}

// each calls do for all routers without an error.
func (f *Fleet) each(do func(*Site) error) {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, s := range f.Sites {
		if s.Err == nil {
			group.Go(func() error {
				s.Err = do(s)
				return nil
			})
		}
	}
	_ = group.Wait()
}

// Inspect inspects the routers and plans with the images, or with the expected images.
func (f *Fleet) Inspect(ctx context.Context) {
	f.each(func(s *Site) (err error) {
		s.Wishes.Key = f.Key != ""
		if s.Facts, err = Inspect(ctx, f.Access, s.Address, s.Wishes.Options.Name); err != nil {
			if errors.Is(err, context.Canceled) {
				return errUnchanged
			}
			return err
		}
		t, err := Target(s.Facts, s.Wishes.Options.Arch)
		if err != nil {
			return err
		}
		if s.Wishes.Options.Image != "" || len(f.Images) == 0 {
			s.Image, err = Expected(t)
		} else {
			s.Image, err = f.imageFor(t)
		}
		if err != nil {
			return err
		}
		s.Plan, err = NewPlan(s.Facts, s.Wishes, s.Image)
		s.planned = err == nil
		return err
	})
}

var errUnchanged = errors.New("interrupted, nothing was changed")

func (f *Fleet) imageFor(t platform.Target) (Image, error) {
	for _, img := range f.Images {
		if img.Platform.Name == t.Name {
			return img, nil
		}
	}
	return Image{}, fmt.Errorf("none of the tarballs is for %s, which this router needs", t)
}

// Prepare builds the images that the routers need. Its error stops the work on all routers.
func (f *Fleet) Prepare(ctx context.Context) (err error) {
	var targets []platform.Target
	for _, s := range f.Sites {
		if s.Err == nil && s.Wishes.Options.Image == "" && !slices.ContainsFunc(targets, func(t platform.Target) bool { return t.Name == s.Image.Platform.Name }) {
			targets = append(targets, s.Image.Platform)
		}
	}
	if len(f.Images) > 0 || len(targets) == 0 {
		return nil
	}
	f.Images, err = f.Build(ctx, targets)
	return err
}

// Apply carries out the plan of each router. It reports progress to observe, and the end to ended.
func (f *Fleet) Apply(ctx context.Context, observe func(*Site, Event), ended func(*Site, error)) {
	f.each(func(s *Site) (err error) {
		defer func() { ended(s, err) }()
		if ctx.Err() != nil {
			return errUnchanged
		}
		if s.Wishes.Options.Image == "" {
			if s.Image, err = f.imageFor(s.Image.Platform); err != nil {
				return err
			}
			if s.Plan, err = NewPlan(s.Facts, s.Wishes, s.Image); err != nil {
				return err
			}
		}
		if s.Plan.Action == Nothing {
			s.done, s.Result.State = true, Unchanged
			return nil
		}
		s.Result, err = Apply(ctx, f.Access, s.Address, s.Plan, s.Image, f.Key, func(e Event) { observe(s, e) })
		s.done = err == nil
		return err
	})
}

// Failed returns the number of routers with an error.
func (f *Fleet) Failed() (n int) {
	for _, s := range f.Sites {
		if s.Err != nil {
			n++
		}
	}
	return n
}

// Plan returns lines that describe what is going to happen.
func (f *Fleet) Plan() (lines []string) {
	for _, s := range f.Sites {
		if !s.planned {
			continue
		}
		facts, p := s.Facts, s.Plan
		where := cmp.Or(p.Options.Disk, "the internal storage")
		source := cmp.Or(p.Options.Image, fmt.Sprintf("the image for %s (%s)", p.Platform, mib(s.Image.Size)))
		action := fmt.Sprintf("%s %s on %s", p.Action, source, where)
		switch {
		case p.Action == Nothing:
			action = "nothing to do"
		case p.Action == Update && s.Image.Checksum == "":
			action = "update unless it already has " + source
		}
		lines = append(lines, fmt.Sprintf("%s: %s, %s, %s, RouterOS %s: %s", s.Address, facts.Identity, facts.Board, facts.Architecture, facts.RouterOS, action))
		for _, note := range p.Notes {
			lines = append(lines, fmt.Sprintf("%s: note: %s", s.Address, note))
		}
	}
	return lines
}

// Outcome returns the lines about the router's result: what is done, and what failed.
func (s *Site) Outcome() (done, wrong []string) {
	r := s.Result
	switch {
	case s.Err != nil:
		for line := range strings.Lines(s.Err.Error()) {
			wrong = append(wrong, fmt.Sprintf("%s: %s", s.Address, strings.TrimSuffix(line, "\n")))
		}
		return nil, wrong
	case !s.done:
		return nil, nil
	case r.LoginURL != "":
		done = append(done, fmt.Sprintf("%s: %s; log it in at %s", s.Address, r.State, r.LoginURL))
	case len(r.Addresses) > 0:
		done = append(done, fmt.Sprintf("%s: %s; in the tailnet as %s", s.Address, r.State, strings.Join(r.Addresses, " and ")))
	default:
		done = append(done, fmt.Sprintf("%s: %s", s.Address, r.State))
	}
	if r.Note != "" {
		done = append(done, fmt.Sprintf("%s: note: %s", s.Address, r.Note))
	}
	return done, nil
}

// Report is a router in JSON output.
type Report struct {
	Router string        `json:"router"`
	State  State         `json:"state"`
	Facts  *Facts        `json:"facts,omitempty"`
	Plan   *ReportedPlan `json:"plan,omitempty"`
	// The following fields are the result.
	LoginURL  string   `json:"login_url,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Note      string   `json:"note,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// ReportedPlan is a plan in JSON output.
type ReportedPlan struct {
	Action   Action   `json:"action"`
	Platform string   `json:"platform"`
	Image    string   `json:"image,omitempty"`
	Size     int64    `json:"size,omitempty"`
	Disk     string   `json:"disk,omitempty"`
	Root     string   `json:"root"`
	Hostname string   `json:"hostname"`
	InPlace  bool     `json:"in_place,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// Report returns everything about the router.
func (s *Site) Report() Report {
	r := Report{Router: s.Address.String(), State: Planned, LoginURL: s.Result.LoginURL, Addresses: s.Result.Addresses, Note: s.Result.Note}
	if s.Facts.RouterOS != "" {
		r.Facts = &s.Facts
	}
	if s.planned {
		o := s.Plan.Options
		r.Plan = &ReportedPlan{s.Plan.Action, s.Plan.Platform.Name, o.Image, s.Image.Size, o.Disk, o.Root, o.Hostname, o.InPlace, s.Plan.Notes}
	}
	switch {
	case s.Err != nil:
		r.State, r.Error = Failed, s.Err.Error()
	case s.done:
		r.State = s.Result.State
	}
	return r
}
