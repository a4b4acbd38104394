// Package local runs the stages of package recipe on this machine, with neither Docker nor
// Dagger: it makes the Debian root that a stage starts from with mmdebstrap, enters it with
// bubblewrap and runs the stage's steps there. It knows nothing of what the stages make.
//
// Everything is kept in one cache directory, which any number of runs may share:
//
//	blobs/     outputs, named by their sha256
//	stages/    which blob a stage gave, named by the sha256 of the stage
//	roots/     Debian roots, named by the sha256 of what is installed in them
//	go-mod/    Go's module cache
//	go-build/  Go's build cache
//	locks/     one file for each stage and root
//	lock       shared by all builds, and taken alone to remove something from the cache
//	trimmed    its time is when a build last looked for things to remove
//	tmp/       what is in the making, a directory for each run
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
	"sync"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/singleflight"

	"dagger/mikrotik-tailscale/recipe"
)

// Options are how a Builder works; none of them changes what a stage gives.
type Options struct {
	// Cache is the cache directory. DefaultCache when empty.
	Cache string
	// Jobs is how many stages run at once. Each compiler run uses every processor, so two keep a
	// machine busy. 2 when zero.
	Jobs int
	// Fresh runs every stage again, and makes every Debian root again, although the cache has them.
	Fresh bool
	// Addresses are where to download from. Empty ones default to what "go env" says, and to mmdebstrap's choice of
	// a Debian archive.
	Addresses recipe.Addresses
	// Observe is called when a stage begins and ends, from several goroutines. May be nil.
	Observe func(Event)
	// Freed is called with the number of bytes, if things that no build has used for 30 days were dropped from the cache.
	// May be nil.
	Freed func(bytes int64)
}

// Event is one thing that happened to a stage.
type Event struct {
	// Title names the stage.
	Title string
	State State
	// Took is how long a stage ran, once it ended.
	Took time.Duration
}

// State is what became of a stage.
type State string

// Final reports whether nothing more happens to a stage.
func (s State) Final() bool { return s != Waiting && s != Started }

// The states of a stage. All but Waiting and Started are final. A stage waits while another build makes it
// or replaces its Debian root. It is stopped when another stage has failed, or somebody interrupts the build.
const (
	Waiting State = "waiting"
	Started State = "started"
	Cached  State = "cached"
	Done    State = "done"
	Failed  State = "failed"
	Stopped State = "stopped"
)

// Builder runs stages. Make one with Open and Close it.
type Builder struct {
	Options
	scratch string
	release func()
	// snapshot is the address of the Debian snapshot; source decides once whether it can be reached.
	snapshot string
	source   func() archive
	slots    chan struct{}
	flights  singleflight.Group

	mu   sync.Mutex
	made map[string]bool // keys that were made in this run, which Fresh must not make twice
}

// DefaultCache is the cache directory for a user who names none.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return filepath.Join(dir, recipe.Title), nil
}

// Open prepares the cache directory, removes what ended runs left in it and what no build has used for 30 days, and
// checks that the machine lets a sandbox be made.
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
	d := &Builder{Options: o, slots: make(chan struct{}, o.Jobs), made: map[string]bool{}}
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

// prepare makes the cache's directories, and one to work in.
func (d *Builder) prepare() (err error) {
	for _, sub := range subdirectories {
		if err := os.MkdirAll(filepath.Join(d.Cache, sub), 0o755); err != nil {
			return err
		}
	}
	d.scratch, d.release, err = newScratch(filepath.Join(d.Cache, "tmp"))
	return err
}

// cacheDirectory is the path of a cache directory, the default one if none is named.
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

// Scratch gives a new directory that is there until Close.
func (d *Builder) Scratch() (string, error) {
	dir, err := os.MkdirTemp(d.scratch, "scratch-*")
	if err != nil {
		return "", fmt.Errorf("making a directory to work in: %w", err)
	}
	return dir, nil
}

// Close removes what the run left unfinished.
func (d *Builder) Close() error {
	defer d.release()
	return RemoveAll(d.scratch)
}

// Output gives the path of the stage's output, running the stage and those that it depends on
// where the cache does not have them. The file belongs to the cache: do not change it.
func (d *Builder) Output(ctx context.Context, s recipe.Stage) (string, error) {
	return d.OutputWith(ctx, s, nil)
}

// OutputWith is Output for a stage that takes files of the user's: files has a path for each input that no
// stage makes, by the input's name.
func (d *Builder) OutputWith(ctx context.Context, s recipe.Stage, files map[string]string) (string, error) {
	given, err := d.given(s, files)
	if err != nil {
		return "", err
	}
	key, err := keyWith(s, given)
	if err != nil {
		return "", err
	}
	path, err, _ := d.flights.Do(key, func() (any, error) { return d.output(ctx, s, key, given) })
	if err != nil {
		return "", err
	}
	return path.(string), nil
}

func (d *Builder) output(ctx context.Context, s recipe.Stage, key string, given []givenFile) (_ string, err error) {
	unlock, err := d.lock(ctx, key, s.Title(), true)
	if err != nil {
		return "", err
	}
	defer unlock()
	if d.usable(key) {
		if path, ok := d.lookup(key); ok {
			d.Observe(Event{Title: s.Title(), State: Cached})
			return path, nil
		}
	}
	inputs, err := d.inputs(ctx, s)
	if err != nil {
		return "", err
	}
	for _, f := range given {
		inputs[f.Input] = f.path
	}
	root, unlockRoot, err := d.root(ctx, s)
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

// inputs runs the stages that a stage takes its inputs from, at the same time.
func (d *Builder) inputs(ctx context.Context, s recipe.Stage) (map[string]string, error) {
	paths := make([]string, len(s.Inputs))
	errs := make([]error, len(s.Inputs))
	var wg sync.WaitGroup
	for i, in := range s.Inputs {
		if in.Stage != nil {
			wg.Go(func() { paths[i], errs[i] = d.Output(ctx, *in.Stage) })
		}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
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

// observed does work in one of the run's slots and tells how it went.
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

// usable says whether what the cache has for a key may be taken.
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

// lock takes the lock of a stage or root against other runs that share the cache directory. If somebody else
// has it, the title is shown as waiting.
func (d *Builder) lock(ctx context.Context, key, title string, exclusive bool) (unlock func(), err error) {
	l := flock.New(filepath.Join(d.Cache, "locks", key))
	try, wait := l.TryRLock, l.TryRLockContext
	if exclusive {
		try, wait = l.TryLock, l.TryLockContext
	}
	taken, err := try()
	if err == nil && !taken {
		d.Observe(Event{Title: title, State: Waiting})
		_, err = wait(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: waiting for another stage or build: %w", title, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// keyOf names what a value describes by its content.
func keyOf(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("naming a stage: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// newScratch makes a directory for one run, locked for as long as the run lives, and removes the
// directories of runs that were killed.
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
		_ = RemoveAll(lockFile[:len(lockFile)-len(".lock")])
		_ = os.Remove(lockFile)
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
	return dir, func() { _ = os.Remove(dir + ".lock"); _ = l.Unlock() }, nil
}

// RemoveAll is os.RemoveAll for trees that hold read-only directories, as a cache directory does.
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
