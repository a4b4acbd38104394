// Package local runs the stages of package recipe on this machine, without Docker or Dagger. It creates a stage's
// Debian root with mmdebstrap, and runs the stage's steps in it with bubblewrap. It doesn't know the content of the
// stages.
//
// Everything is kept in one cache directory, which any number of runs may share:
//
//	blobs/     outputs, named by their sha256
//	stages/    the blob of each stage, named by the sha256 of the stage
//	roots/     Debian roots, named by the sha256 of their packages
//	go-mod/    Go's module cache
//	go-build/  Go's build cache
//	locks/     one file for each stage and root
//	lock       shared by all builds, exclusive to remove something from the cache
//	trimmed    its modification time is when a build last removed unused things
//	tmp/       unfinished files, in a directory for each run
//	dropped-*  things that are being removed
//
// The time of a blob, stage, root or Go cache is when a build last used it.
package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/singleflight"

	"dagger/mikrotik-tailscale/recipe"
)

// Options are the options of a Builder. They don't change the output of a stage.
type Options struct {
	// Cache is the cache directory. The default is DefaultCache.
	Cache string
	// Jobs is how many stages run at the same time. The default is 2: each compiler run uses every processor, so two
	// keep a machine busy.
	Jobs int
	// Fresh runs every stage and creates every Debian root again, even if they are in the cache.
	Fresh bool
	// Addresses are the download addresses. Empty ones default to the settings in "go env", and to mmdebstrap's
	// default archive.
	Addresses recipe.Addresses
	// Observe is called when a stage starts and ends, from several goroutines. It may be nil.
	Observe func(Event)
	// Freed is called with the number of removed bytes, if the cache contained anything that no build has used for 30
	// days. It may be nil.
	Freed func(bytes int64)
}

// Event is a change of a stage's state.
type Event struct {
	// Title names the stage.
	Title string
	State State
	// Took is how long a stage ran. It is set after its end.
	Took time.Duration
	// Note is a line that the stage wrote for the user. It is set in the state Noted.
	Note string
}

// State is the state of a stage.
type State string

// Final reports whether the state is the last one of a stage.
func (s State) Final() bool { return s != Waiting && s != Started && s != Noted }

// The states of a stage. All but Waiting, Started and Noted are final. A stage waits while another build runs it or
// replaces its Debian root. It is noted if it wrote something for the user, just before it is done. It is stopped if
// another stage has failed, or if the user interrupts the build.
const (
	Waiting State = "waiting"
	Started State = "started"
	Noted   State = "note"
	Cached  State = "cached"
	Done    State = "done"
	Failed  State = "failed"
	Stopped State = "stopped"
)

// Builder runs stages. Create it with Open, and call Close at the end.
type Builder struct {
	Options
	scratch string
	release func()
	// snapshot is the address of the Debian snapshot. source decides once whether it can be reached.
	snapshot string
	source   func() archive
	slots    chan struct{}
	flights  singleflight.Group
	running  sync.WaitGroup

	mu   sync.Mutex
	made map[string]bool // keys of stages that ran in this run, which Fresh must not run again
	told map[string]bool // keys of stages whose notes were reported in this run
}

// DefaultCache returns the default cache directory.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return filepath.Join(dir, recipe.Title), nil
}

// Open prepares the cache directory, removes leftovers of earlier runs and everything that no build has used for 30
// days, and checks that the machine allows sandboxes.
func Open(ctx context.Context, o Options) (*Builder, error) {
	dir, err := cacheDirectory(o.Cache)
	if err != nil {
		return nil, err
	}
	o.Cache = dir
	if o.Jobs <= 0 {
		o.Jobs = 2
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Freed == nil {
		o.Freed = func(int64) {}
	}
	if err := checkSandbox(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("preparing the cache directory: %w", err)
	}
	d := &Builder{Options: o, slots: make(chan struct{}, o.Jobs), made: map[string]bool{}, told: map[string]bool{}}
	d.snapshot = recipe.SnapshotArchive
	d.source = sync.OnceValue(d.findArchive)
	unshare, err := d.share(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.prepare(); err != nil {
		unshare()
		return nil, fmt.Errorf("preparing the cache directory: %w", err)
	}
	removed := d.release
	d.release = func() { removed(); unshare() }
	return d, nil
}

// prepare creates the cache's directories and a scratch directory.
func (d *Builder) prepare() (err error) {
	// In reverse order, so that what marks a cache comes first.
	for _, sub := range slices.Backward(subdirectories) {
		if err := os.MkdirAll(filepath.Join(d.Cache, sub), 0o755); err != nil {
			return err
		}
	}
	d.scratch, d.release, err = newScratch(filepath.Join(d.Cache, "tmp"))
	return err
}

// cacheDirectory returns the path of a cache directory, or of the default one if named is empty.
func cacheDirectory(named string) (string, error) {
	if named == "" {
		dir, err := DefaultCache()
		if err != nil {
			return "", err
		}
		named = dir
	}
	dir, err := filepath.Abs(named)
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return dir, nil
}

// Scratch returns a new directory that exists until Close.
func (d *Builder) Scratch() (string, error) {
	dir, err := os.MkdirTemp(d.scratch, "scratch-*")
	if err != nil {
		return "", fmt.Errorf("creating a scratch directory: %w", err)
	}
	return dir, nil
}

// Close waits for work that is being stopped, and removes everything that is unfinished.
func (d *Builder) Close() error {
	d.running.Wait()
	defer d.release()
	return RemoveAll(d.scratch)
}

// Output returns the path of the stage's output. It runs the stage and its inputs if they are not in the cache. Don't
// change the file: it belongs to the cache.
func (d *Builder) Output(ctx context.Context, s recipe.Stage) (string, error) {
	return d.OutputWith(ctx, s, nil)
}

// OutputWith is like Output, for a stage with the user's own files as inputs. files has the path of each input that
// no stage builds, by the input's name.
func (d *Builder) OutputWith(ctx context.Context, s recipe.Stage, files map[string]string) (string, error) {
	given, err := d.given(s, files)
	if err != nil {
		return "", err
	}
	key, err := keyWith(s, given)
	if err != nil {
		return "", err
	}
	path, err := d.once(ctx, key, func() (any, error) { return d.output(ctx, s, key, given) })
	if err != nil {
		return "", err
	}
	return path.(string), nil
}

// once runs work and returns its result. If another caller is running the work of the same key, once waits for that result
// or for the end of ctx.
func (d *Builder) once(ctx context.Context, key string, work func() (any, error)) (any, error) {
	for {
		var result any
		var err error
		var own atomic.Bool
		ended := make(chan struct{})
		d.running.Go(func() {
			defer close(ended)
			result, err, _ = d.flights.Do(key, func() (any, error) {
				own.Store(true)
				return work()
			})
		})
		select {
		case <-ended:
		case <-ctx.Done():
			if !own.Load() {
				return nil, context.Cause(ctx)
			}
			<-ended
		}
		if !own.Load() && errors.Is(err, context.Canceled) && ctx.Err() == nil {
			continue // the other caller was stopped, this one wasn't
		}
		return result, err
	}
}

func (d *Builder) output(ctx context.Context, s recipe.Stage, key string, given []givenFile) (_ string, err error) {
	unlock, err := d.lock(ctx, key, s.Title(), true)
	if err != nil {
		return "", err
	}
	defer unlock()
	if d.usable(key) {
		if path, notes, ok := d.lookup(key); ok {
			d.tell(s, key, notes)
			d.Observe(Event{Title: s.Title(), State: Cached})
			return path, nil
		}
	}
	// Making a root takes as long as the inputs. It can't stay locked meanwhile: a build that replaces it may be what an
	// input waits for.
	var inputs map[string]string
	err = recipe.Together(ctx, func(ctx context.Context) error {
		_, unlock, err := d.root(ctx, s.Packages)
		if err == nil {
			unlock()
		}
		return err
	}, func(ctx context.Context) (err error) {
		inputs, err = d.inputs(ctx, s)
		return err
	})
	if err != nil {
		return "", err
	}
	for _, f := range given {
		inputs[f.Input] = f.path
	}
	root, unlockRoot, err := d.root(ctx, s.Packages)
	if err != nil {
		return "", err
	}
	defer unlockRoot()
	path := ""
	err = d.observed(ctx, s.Title(), func() error {
		path, err = d.run(ctx, s, key, root, inputs)
		return err
	})
	if err != nil {
		return "", err
	}
	d.markMade(key)
	return path, nil
}

// inputs runs the stages of a stage's inputs at the same time.
func (d *Builder) inputs(ctx context.Context, s recipe.Stage) (map[string]string, error) {
	paths := make([]string, len(s.Inputs))
	var runs []func(context.Context) error
	for i, in := range s.Inputs {
		if in.Stage != nil {
			runs = append(runs, func(ctx context.Context) (err error) {
				paths[i], err = d.Output(ctx, *in.Stage)
				return err
			})
		}
	}
	if err := recipe.Together(ctx, runs...); err != nil {
		return nil, err
	}
	inputs := map[string]string{}
	for i, in := range s.Inputs {
		if in.Stage != nil {
			inputs[in.Name] = paths[i]
		}
	}
	return inputs, nil
}

// observed runs work in one of the slots and reports its events.
func (d *Builder) observed(ctx context.Context, title string, work func() error) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", title, context.Cause(ctx))
	}
	d.Observe(Event{Title: title, State: Started})
	began := time.Now()
	err := work()
	state := Done
	if err != nil {
		state, err = Failed, fmt.Errorf("%s: %w", title, err)
		if ctx.Err() != nil {
			state = Stopped
		}
	}
	d.Observe(Event{Title: title, State: state, Took: time.Since(began)})
	return err
}

// tell reports the notes of a stage, each of which is a line, unless it already has.
func (d *Builder) tell(s recipe.Stage, key, notes string) {
	d.mu.Lock()
	told := d.told[key]
	d.told[key] = true
	d.mu.Unlock()
	if told {
		return
	}
	for note := range strings.Lines(notes) {
		d.Observe(Event{Title: s.Title(), State: Noted, Note: strings.TrimSpace(note)})
	}
}

// usable reports whether the cached output of a key may be used.
func (d *Builder) usable(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.Fresh || d.made[key]
}

func (d *Builder) markMade(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made[key] = true
}

// lock locks a stage or root against other runs that share the cache directory. If another run has the lock, the
// title is shown as waiting.
func (d *Builder) lock(ctx context.Context, key, title string, exclusive bool) (unlock func(), err error) {
	l := flock.New(filepath.Join(d.Cache, "locks", key))
	try, wait := l.TryRLock, l.TryRLockContext
	if exclusive {
		try, wait = l.TryLock, l.TryLockContext
	}
	if err := take(ctx, try, wait, func() { d.Observe(Event{Title: title, State: Waiting}) }); err != nil {
		return nil, fmt.Errorf("%s: waiting for another stage or build: %w", title, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// take takes a lock with the given functions of a flock.Flock. If another run has the lock, it calls waiting and waits.
func take(ctx context.Context, try func() (bool, error), wait func(context.Context, time.Duration) (bool, error), waiting func()) error {
	taken, err := try()
	if err == nil && !taken {
		waiting()
		_, err = wait(ctx, 100*time.Millisecond)
	}
	return err
}

// keyOf returns a name for a value that depends only on its content.
func keyOf(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("naming a stage: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// newScratch creates a directory for one run, locked until the run ends, and removes the directories of killed runs.
func newScratch(parent string) (dir string, release func(), err error) {
	gate := flock.New(filepath.Join(parent, "lock"))
	if err := gate.Lock(); err != nil {
		return "", nil, err
	}
	defer func() { _ = gate.Unlock() }()
	old, err := filepath.Glob(filepath.Join(parent, "run-*.lock"))
	if err != nil {
		return "", nil, err
	}
	for _, lockFile := range old {
		l := flock.New(lockFile)
		if ours, err := l.TryLock(); err != nil || !ours {
			continue
		}
		// Without its lock file, a later run would not find the rest of the directory.
		if RemoveAll(lockFile[:len(lockFile)-len(".lock")]) == nil {
			_ = os.Remove(lockFile)
		}
		_ = l.Unlock()
	}
	dir, err = os.MkdirTemp(parent, "run-*")
	if err != nil {
		return "", nil, err
	}
	l := flock.New(dir + ".lock")
	if err := l.Lock(); err != nil {
		return "", nil, err
	}
	return dir, func() {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(dir + ".lock")
		}
		_ = l.Unlock()
	}, nil
}

// RemoveAll is like os.RemoveAll, for trees with read-only directories such as Go's module cache.
func RemoveAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
