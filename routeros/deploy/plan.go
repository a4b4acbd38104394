package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros"
)

// Action is what to do with a router.
type Action string

// The actions.
const (
	// Install installs the container on a router without it.
	Install Action = "install"
	// Update replaces the image if the router has another one, and starts a stopped container.
	Update Action = "update"
	// Reinstall removes everything but the state, and installs again.
	Reinstall Action = "reinstall"
	// Nothing changes nothing.
	Nothing Action = "nothing"
)

// Image is the image for a platform.
type Image struct {
	Platform platform.Target
	// Path is the tarball on this machine. It is empty before the image is built.
	Path string
	// Size is the tarball's size in bytes. Its layer is not compressed, so the files on the router have about the
	// same size.
	Size int64
	// Checksum is the tarball's checksum as sha256: and 64 digits. It is empty before the image is built.
	Checksum string
}

// Expected returns the image for a platform before it is built, with the size from the size budget.
func Expected(t platform.Target) (Image, error) {
	budget, err := size.Budget()
	if err != nil {
		return Image{}, err
	}
	for _, p := range budget.Platforms {
		if p.Name == t.Name {
			return Image{Platform: t, Size: p.Stored}, nil
		}
	}
	return Image{}, fmt.Errorf("the size budget has no platform %s", t)
}

// Wishes are the user's options for a router.
type Wishes struct {
	// Options are the options of the scripts. NewPlan derives missing ones from the router: the disk, the platform,
	// the host name, the RouterOS release, and whether there is room for a second image during an update.
	Options routeros.Options
	// Release is true if Options.RouterOS is the user's choice, not the oldest supported release.
	Release bool
	// Key is true if there is a key for logging in to the tailnet.
	Key bool
	// Reinstall allows replacing an installation that has other settings.
	Reinstall bool
}

// Plan is what is going to happen on a router.
type Plan struct {
	Action   Action
	Platform platform.Target
	// Options are complete.
	Options routeros.Options
	// Before are the options of the installation that Reinstall removes, if they are known.
	Before *routeros.Options
	// Notes are hints for the user.
	Notes []string
}

// spare is the free space in bytes that is left for the state and for the router itself.
const spare = 256 << 10

var releaseForm = regexp.MustCompile(`^7\.([0-9]{1,3})\b`)

// Target returns the platform of the image for a router: the wanted one, or the one that fits the board.
func Target(f Facts, wanted string) (platform.Target, error) {
	own, err := platform.OfRouter(f.Architecture, f.Board, f.Model)
	if err != nil || wanted == "" {
		return own, err
	}
	t, err := platform.Parse(wanted)
	if err == nil && t.RouterOS != own.RouterOS {
		err = fmt.Errorf("the image for %s does not run on this router, which is %s: want %s", t, f.Architecture, own)
	}
	return t, err
}

// Check returns an error for wishes that are wrong on any router.
func Check(w Wishes) error {
	o := w.Options
	if o.Image == "" {
		o.Tarball = "image.tar"
		switch {
		case o.UpdateAt != "":
			return fmt.Errorf("updates at %s need an image that the router fetches: want --image, too", o.UpdateAt)
		case o.Root == routeros.RootMemory:
			return errors.New("a root directory in memory needs an image that the router fetches at each boot: want --image, too")
		}
	}
	_, err := routeros.New(o)
	return err
}

// NewPlan decides what to do with a router. It returns an error with everything that makes that impossible.
func NewPlan(f Facts, w Wishes, img Image) (Plan, error) {
	p := Plan{Action: Install, Platform: img.Platform, Options: w.Options}
	if problems := missing(f); problems != nil {
		return p, problems
	}
	o := &p.Options
	o.Arch, o.AuthKeyFile = img.Platform.Name, w.Key
	if !w.Release {
		o.RouterOS = f.RouterOS
	}
	if o.Hostname == "" {
		o.Hostname = o.Name
		// MikroTik is the identity of every new router.
		if routeros.IsHostname(f.Identity) && f.Identity != "MikroTik" {
			o.Hostname = f.Identity
		}
	}
	if o.Image == "" {
		o.Tarball, o.Checksum = path.Join(loadSlot(*o), "image.tar"), img.Checksum
	}
	p.inherit(f, w)
	if err := p.decide(f, w, img); err != nil {
		return p, err
	}
	if p.Action == Nothing {
		return p, nil
	}
	if err := p.place(f, img); err != nil {
		return p, err
	}
	// The scripts check their options themselves.
	_, err := routeros.New(*o)
	return p, err
}

// missing returns an error if the router lacks something that every installation needs.
func missing(f Facts) error {
	var problems []error
	if minor := releaseForm.FindStringSubmatch(f.RouterOS); minor == nil || atoi(minor[1]) < atoi(strings.TrimPrefix(routeros.MinimumRouterOS, "7.")) {
		problems = append(problems, fmt.Errorf("RouterOS %s is too old: want %s or later", f.RouterOS, routeros.MinimumRouterOS))
	}
	if !f.Package {
		problems = append(problems, fmt.Errorf("the container package is not installed: copy the one for RouterOS %s and %s from MikroTik's extra packages to the router, and reboot it", f.RouterOS, f.Architecture))
	}
	if f.Containers == "false" || f.Containers == "no" {
		problems = append(problems, errors.New("containers are switched off: run /system/device-mode/update container=yes on the router, and confirm it with its button"))
	}
	return errors.Join(problems...)
}

func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// inherit copies missing options from the installation.
func (p *Plan) inherit(f Facts, w Wishes) {
	o := &p.Options
	if o.Disk == "" {
		o.Disk = cmp.Or(f.Installed.Disk, f.storage())
	}
	before := f.Installed.Options
	if before == nil {
		return
	}
	if before.Root == routeros.RootMemory && !w.Reinstall {
		o.Root = before.Root
	}
	if w.Options.Hostname == "" {
		o.Hostname = before.Hostname
	}
	if w.Options.Disk == "" {
		o.Disk = before.Disk
	}
	// The key is already in its file.
	o.AuthKeyFile = o.AuthKeyFile || before.AuthKeyFile && o.Disk == before.Disk
}

// decide chooses the action.
func (p *Plan) decide(f Facts, w Wishes, img Image) error {
	i := f.Installed
	switch {
	case i.Leftovers:
		p.Action = Reinstall
		p.Notes = append(p.Notes, "an installation or removal was interrupted: its leftovers are removed first")
		return nil
	case i.Image == "":
		return nil
	}
	p.Action = Update
	if i.Options == nil {
		p.Notes = append(p.Notes, "it was installed without this command: only the image can be updated, and other settings stay")
		if w.Reinstall {
			p.Action = Reinstall
		}
	} else if changes := changed(*i.Options, p.Options); len(changes) > 0 {
		if !w.Reinstall {
			return fmt.Errorf("it is installed with other settings (%s): want the same settings, or --reinstall to install it again with its state", strings.Join(changes, "; "))
		}
		p.Action, p.Before = Reinstall, i.Options
		if i.Options.Disk != p.Options.Disk {
			p.Notes = append(p.Notes, fmt.Sprintf("the state stays in %s, so the router logs in as a new machine", i.Options.StatePath()))
		}
	}
	if p.Action == Update && p.Options.Image == "" && i.Image == img.Checksum && !i.Stopped {
		p.Action = Nothing
	}
	return nil
}

// incidental are the options that follow from the router or the image, and may change at any time.
var incidental = []string{"RouterOS", "Arch", "Tarball", "Checksum", "InPlace", "Tmpfs"}

// changed returns the settings that differ.
func changed(before, after routeros.Options) (all []string) {
	old, now := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range old.NumField() {
		name := old.Type().Field(i).Name
		// An empty list may be nil or not.
		was, is := fmt.Sprint(old.Field(i)), fmt.Sprint(now.Field(i))
		if was != is && !slices.Contains(incidental, name) {
			all = append(all, fmt.Sprintf("%s: %s before, %s now", name, shown(was), shown(is)))
		}
	}
	return all
}

func shown(value string) string {
	if value = strings.Trim(value, "[]"); value == "" {
		return "none"
	}
	return value
}

// place finds a disk for the image.
func (p *Plan) place(f Facts, img Image) error {
	o := &p.Options
	if o.Root == routeros.RootMemory {
		return p.enough(f, int64(o.StartMemory()))
	}
	free, known := f.free(o.Disk)
	if p.Action == Update {
		if known && free < max(routeros.UpdateRoom, img.Size+spare) {
			o.InPlace = true
			p.Notes = append(p.Notes, fmt.Sprintf("%s are free, so the old image is removed before the new one is unpacked", mib(free)))
		}
		return nil
	}
	need := img.Size + spare
	switch {
	case !known || free >= need:
	case o.Disk != f.storage():
		return fmt.Errorf("%s are free on %s, and the image takes %s: want another --disk", mib(free), o.Disk, mib(need))
	default:
		if err := p.elsewhere(f, free, need); err != nil {
			return err
		}
	}
	if o.Root == routeros.RootMemory {
		return nil
	}
	return p.enough(f, 2*img.Size+o.RunningMemory())
}

// elsewhere finds another disk, or memory, for an image that is too large for the flash.
func (p *Plan) elsewhere(f Facts, free, need int64) error {
	o := &p.Options
	for _, d := range f.Disks {
		if d.Free >= need {
			o.Disk = d.Name
			p.Notes = append(p.Notes, fmt.Sprintf("%s of flash are free, so image and state are on the disk %s", mib(free), d.Name))
			return nil
		}
	}
	short := fmt.Sprintf("%s of flash are free, and the image takes %s", mib(free), mib(need))
	switch {
	case o.Image == "":
		return fmt.Errorf("%s: want a disk, or --image, which the router can keep in memory", short)
	case free < spare:
		return fmt.Errorf("%s, and the state in flash takes %s: want a disk", short, mib(spare))
	}
	o.Root = routeros.RootMemory
	p.Notes = append(p.Notes, short+", so it is in memory, and the router fetches it at each boot")
	return p.enough(f, int64(o.StartMemory()))
}

// enough returns an error if the router has too little memory.
func (p *Plan) enough(f Facts, need int64) error {
	if p.Action != Update && f.FreeMemory > 0 && f.FreeMemory < need {
		return fmt.Errorf("%s of memory are free, and an installation takes %s: stop other containers, or use a larger router", mib(f.FreeMemory), mib(need))
	}
	return nil
}

// free returns the free space in bytes on the disk of a directory, if the router reports it.
func (f Facts) free(directory string) (int64, bool) {
	if directory == f.storage() {
		return f.FreeFlash, true
	}
	name, _, _ := strings.Cut(directory, "/")
	for _, d := range f.Disks {
		if d.Name == name {
			return d.Free, true
		}
	}
	return 0, false
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// loadSlot returns the name of the disk in memory with the image and the scripts during a run.
func loadSlot(o routeros.Options) string { return o.Name + "-load" }
