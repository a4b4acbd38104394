package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"dagger/mikrotik-tailscale/routeros"
)

// Event is progress on a router.
type Event struct {
	// Phase is the current step.
	Phase string
	// Sent and Total are bytes of an upload. Total is 0 in other phases.
	Sent, Total int64
	// Log is a line of the container's log. Phase is empty then.
	Log string
}

// State is the state of a router at the end.
type State string

// The states.
const (
	Fresh     State = "installed"
	Updated   State = "updated"
	Unchanged State = "unchanged"
	// Planned and Failed are the states of routers that were not changed.
	Planned State = "planned"
	Failed  State = "failed"
)

// Result is the result of Apply.
type Result struct {
	State State
	// LoginURL is the address at which a person has to log the router in.
	LoginURL string
	// Addresses are the router's addresses in the tailnet.
	Addresses []string
	// Note says what is left to do, or what is uncertain.
	Note string
}

// work is a plan that is being applied.
type work struct {
	access  Access
	address Address
	plan    Plan
	image   Image
	key     string
	observe func(Event)

	scripts map[string]routeros.Script
	conn    *connection
	// begun is true if the install script may have added something.
	begun bool
	// made are the files and directories that did not exist before.
	made []string
	// seen are the log lines that existed before, or have been shown.
	seen map[string]bool
}

// Apply carries out a plan. If that fails or ctx ends, Apply removes what it added: an installation completely, an
// update as far as its script can. A script that has started always runs to its end.
func Apply(ctx context.Context, access Access, a Address, p Plan, img Image, key string, observe func(Event)) (r Result, err error) {
	scripts, err := routeros.New(p.Options)
	if err != nil {
		return r, err
	}
	w := &work{access: access, address: a, plan: p, image: img, key: key, observe: observe, scripts: map[string]routeros.Script{}, seen: map[string]bool{}}
	for _, s := range scripts {
		w.scripts[s.Kind] = s
	}
	w.phase("connecting")
	if w.conn, err = dial(ctx, access, a); err != nil {
		return r, err
	}
	defer func() { w.conn.close() }()
	r, err = w.carryOut(ctx)
	if err != nil && ctx.Err() != nil {
		err = interruption{p.Action}
	}
	if problem := w.clean(context.WithoutCancel(ctx), err != nil); problem != nil {
		err = errors.Join(err, problem)
	}
	return r, err
}

// interruption is the error after ctx has ended.
type interruption struct{ of Action }

func (i interruption) Error() string {
	if i.of == Update {
		return "interrupted: if the update had begun, its script has finished it or undone it"
	}
	return "interrupted, everything that was added has been removed"
}

func (interruption) Unwrap() error { return context.Canceled }

func (w *work) phase(name string) { w.observe(Event{Phase: name}) }

func (w *work) carryOut(ctx context.Context) (r Result, err error) {
	if err := w.prepare(ctx); err != nil {
		return r, err
	}
	if w.plan.Action == Reinstall {
		w.phase("removing the old installation")
		if err := w.removeOld(ctx); err != nil {
			return r, fmt.Errorf("removing the old installation: %w", err)
		}
	}
	if err := w.uploadSecrets(ctx); err != nil {
		return r, err
	}
	// Existing log lines are from an earlier run.
	if err := w.skipLog(ctx); err != nil {
		return r, err
	}
	if w.plan.Action == Update {
		return w.update(ctx)
	}
	w.phase("installing")
	w.begun = true
	if _, err := w.script(ctx, "install"); err != nil {
		return r, fmt.Errorf("installing: %w", err)
	}
	w.phase("waiting for the login")
	if r, err = w.follow(ctx); err != nil {
		return r, err
	}
	r.State = Fresh
	return r, w.keep(ctx)
}

// removeOld removes the installation except for its state. The old options may have used more than the new ones, for
// example IPv6 or another directory.
func (w *work) removeOld(ctx context.Context) error {
	before := w.plan.Before
	if before == nil {
		_, err := w.script(ctx, "remove")
		return err
	}
	scripts, err := routeros.New(*before)
	if err != nil {
		return err
	}
	var commands []string
	for _, s := range scripts {
		if s.Kind == "remove" {
			if err := w.text(ctx, w.loaded("remove"), s.Text); err != nil {
				return err
			}
		}
		commands = append(commands, removeFile(path.Join(before.Disk, s.Name)))
	}
	if _, err := w.script(ctx, "remove"); err != nil {
		return err
	}
	_, err = w.conn.run(ctx, strings.Join(append(commands, removeFile(recordName(*before))), "; "))
	return err
}

// removeFile returns the command that removes a file or directory if it exists.
func removeFile(name string) string {
	return "/file/remove [find where name=" + routeros.Quote(name) + "]"
}

func (w *work) update(ctx context.Context) (r Result, err error) {
	w.phase("updating")
	output, err := w.script(ctx, "update")
	if err != nil {
		return r, fmt.Errorf("updating: %w", err)
	}
	r.State = Updated
	if strings.Contains(output, "is up to date") {
		r.State = Unchanged
	}
	// From here on the update is not undone: the script has checked that the image works as well as the old one.
	if w.plan.Options.AuthKeyFile || w.plan.Options.Hostname != "" {
		w.phase("waiting for the login")
		var followed Result
		if followed, err = w.follow(ctx); err != nil {
			followed.Note = err.Error()
		}
		followed.State = r.State
		r = followed
	}
	return r, w.keep(ctx)
}

// prepare uploads the files for the scripts. It uploads the remove script first.
func (w *work) prepare(ctx context.Context) error {
	o := w.plan.Options
	// An existing disk is a leftover of an interrupted run.
	if _, err := w.conn.run(ctx, w.removeDisk()); err != nil {
		return fmt.Errorf("removing earlier uploads: %w", err)
	}
	if err := w.addDisk(ctx); err != nil {
		return err
	}
	if err := w.note(o.StatePath()); err != nil {
		return err
	}
	for _, kind := range []string{"remove", "install", "update"} {
		if err := w.text(ctx, w.loaded(kind), w.scripts[kind].Text); err != nil {
			return err
		}
	}
	// The scheduler runs these scripts.
	for kind, needed := range map[string]bool{"update": o.UpdateAt != "", "start": o.Root == routeros.RootMemory} {
		if !needed {
			continue
		}
		if err := w.text(ctx, path.Join(o.Disk, w.scripts[kind].Name), w.scripts[kind].Text); err != nil {
			return err
		}
	}
	if o.Tarball == "" {
		return nil
	}
	f, err := os.Open(w.image.Path)
	if err != nil {
		return fmt.Errorf("uploading the image: %w", err)
	}
	defer func() { _ = f.Close() }()
	return w.conn.upload(ctx, o.Tarball, f, func(sent int64) {
		w.observe(Event{Phase: "uploading", Sent: sent, Total: w.image.Size})
	})
}

// uploadSecrets uploads the key to the file that the container reads.
func (w *work) uploadSecrets(ctx context.Context) error {
	if w.key == "" {
		return nil
	}
	directory := w.plan.Options.StatePath()
	err := w.conn.files(func(files *sftp.Client) error {
		if _, err := files.Stat(absolute(directory)); err == nil {
			return nil
		}
		return files.Mkdir(absolute(directory))
	})
	if err != nil {
		return fmt.Errorf("creating %s: %w", directory, w.conn.explain(err))
	}
	return w.text(ctx, w.plan.Options.KeyPath(), w.key+"\n")
}

// note records that a file or directory does not exist yet.
func (w *work) note(name string) error {
	return w.conn.files(func(files *sftp.Client) error {
		_, err := files.Stat(absolute(name))
		if errors.Is(err, fs.ErrNotExist) {
			w.made = append(w.made, name)
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking for %s: %w", name, w.conn.explain(err))
		}
		return nil
	})
}

// text uploads a small file.
func (w *work) text(ctx context.Context, to, content string) error {
	if err := w.note(to); err != nil {
		return err
	}
	return w.conn.upload(ctx, to, strings.NewReader(content), func(int64) {})
}

// addDisk adds a disk in memory, which may take a moment to appear.
func (w *work) addDisk(ctx context.Context) error {
	o := w.plan.Options
	mark, slot := routeros.Quote(loadMark(o)), routeros.Quote(loadSlot(o))
	_, err := w.conn.run(ctx, fmt.Sprintf(`{ :if ([:len [/disk/find where comment=%[1]s]] = 0) do={ /disk/add type=tmpfs tmpfs-max-size=%[2]dM slot=%[3]s comment=%[1]s }; `+
		`:local seconds 0; :while (([:len [/file/find where name=%[3]s]] = 0) && ($seconds < 30)) do={ :delay 1s; :set seconds ($seconds + 1) }; `+
		`:if ([:len [/file/find where name=%[3]s]] = 0) do={ :error "it did not appear" } }`, mark, (w.image.Size>>20)+2, slot))
	if err != nil {
		return fmt.Errorf("adding the disk %s in memory for the upload: %w", loadSlot(o), err)
	}
	return nil
}

// removeDisk returns the command that removes the disk in memory with its content.
func (w *work) removeDisk() string {
	return "/disk/remove [find where comment=" + routeros.Quote(loadMark(w.plan.Options)) + "]"
}

// loaded returns the path of a script during the run.
func (w *work) loaded(kind string) string {
	return path.Join(loadSlot(w.plan.Options), w.scripts[kind].Name)
}

// loadMark returns the comment of the disk in memory. The remove script ignores it.
func loadMark(o routeros.Options) string { return o.Mark() + " load" }

// script runs a script on the router. It doesn't stop when ctx ends, because the router might then stop anywhere in
// the script.
func (w *work) script(ctx context.Context, kind string) (string, error) {
	return w.conn.run(context.WithoutCancel(ctx), "/import file-name="+routeros.Quote(w.loaded(kind)))
}

// keep stores on the router what a later run or a person at the console needs.
func (w *work) keep(ctx context.Context) error {
	w.phase("finishing")
	o := w.plan.Options
	record, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return err
	}
	for to, content := range map[string]string{
		path.Join(o.Disk, w.scripts["remove"].Name):   w.scripts["remove"].Text,
		path.Join(o.Disk, w.scripts["diagnose"].Name): w.scripts["diagnose"].Text,
		recordName(o): string(record) + "\n",
	} {
		if err := w.text(ctx, to, content); err != nil {
			return err
		}
	}
	return nil
}

// How often clean tries to reach the router again. pause is the time between attempts.
const attempts = 3

var pause = 5 * time.Second

// clean removes the disk in memory and, after a failure, everything that was added.
func (w *work) clean(ctx context.Context, failed bool) (err error) {
	if failed {
		w.phase("removing what was added")
	}
	for attempt := range attempts {
		if attempt > 0 {
			time.Sleep(pause)
		}
		if !w.conn.alive() {
			w.conn.close()
			c, dialing := dial(ctx, w.access, w.address)
			if dialing != nil {
				err = dialing
				continue
			}
			w.conn = c
		}
		if err = w.undo(ctx, failed); err == nil || !errors.Is(err, errLost) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("removing what was added: %w; run the same command again to remove the rest", err)
	}
	return nil
}

func (w *work) undo(ctx context.Context, failed bool) error {
	if failed && w.begun {
		// After a restart of the router, the disk in memory is empty or missing.
		if err := w.addDisk(ctx); err != nil {
			return err
		}
		if err := w.text(ctx, w.loaded("remove"), w.scripts["remove"].Text); err != nil {
			return err
		}
		if _, err := w.script(ctx, "remove"); err != nil {
			return err
		}
	}
	var commands []string
	if failed && w.plan.Action != Update {
		for _, name := range w.made {
			commands = append(commands, removeFile(name))
		}
	}
	commands = append(commands, w.removeDisk())
	_, err := w.conn.run(ctx, strings.Join(commands, "; "))
	return err
}
