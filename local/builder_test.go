package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// events records a builder's events.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) observe(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

// ended returns the stages that reached the state, except for roots.
func (e *events) ended(state State) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var titles []string
	for _, event := range e.all {
		if event.State == state && !strings.HasPrefix(event.Title, "debian") {
			titles = append(titles, event.Title)
		}
	}
	slices.Sort(titles)
	return titles
}

// open returns a builder with its own outputs, and with the Debian roots of earlier tests, because creating roots
// takes half a minute.
func open(t *testing.T, o Options) (*Builder, *events) {
	t.Helper()
	testmode.Machine(t)
	if err := Require(t.Context(), func(s string) bool { t.Log(s); return true }, Tools()...); err != nil {
		t.Fatal(err)
	}
	if o.Cache == "" {
		o.Cache = newCache(t)
	}
	roots := filepath.Join(filepath.Dir(o.Cache), "roots")
	if err := os.Symlink(roots, filepath.Join(o.Cache, "roots")); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	seen := &events{}
	o.Observe = seen.observe
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(d.scratch + "*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return d, seen
}

// newCache creates a cache directory next to the shared roots, so that files can be moved between them.
func newCache(t *testing.T) string {
	t.Helper()
	base, err := DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(base, "roots"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(base, "test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// stage returns a stage on the same root as the recipe's own small stages.
func stage(name, script string, inputs ...recipe.Input) recipe.Stage {
	return recipe.Stage{
		Name: name, Base: recipe.BaseDebian, Packages: recipe.Certificates().Packages,
		Steps: [][]string{{"sh", "-euc", script}}, Inputs: inputs, Output: "out",
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOutputRunsAStageAndItsInputsOnce(t *testing.T) {
	d, seen := open(t, Options{})
	first := stage("first", "echo one >/out/out")
	first.Env = []recipe.Variable{{Name: "UNUSED", Value: "x"}}
	second := stage("second", `cat /in/a /in/text >/out/out; echo "$WORD" >>/out/out`, recipe.Input{Name: "a", Stage: &first})
	second.Files = []recipe.File{{Name: "text", Content: "two\n"}}
	second.Env = []recipe.Variable{{Name: "WORD", Value: "it's three"}}

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			path, err := d.Output(t.Context(), second)
			if err != nil {
				t.Error(err)
				return
			}
			if got, want := read(t, path), "one\ntwo\nit's three\n"; got != want {
				t.Errorf("output = %q; want %q", got, want)
			}
		})
	}
	wg.Wait()
	if got, want := seen.ended(Done), []string{"first", "second"}; !slices.Equal(got, want) {
		t.Errorf("stages run = %v; want %v", got, want)
	}

	// A changed stage runs again. Its unchanged input does not.
	third := second
	third.Env = []recipe.Variable{{Name: "WORD", Value: "other"}}
	if _, err := d.Output(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	if got, want := seen.ended(Done), []string{"first", "second", "second"}; !slices.Equal(got, want) {
		t.Errorf("stages run = %v; want %v", got, want)
	}
}

func TestACacheIsSharedAndDamageIsDetected(t *testing.T) {
	cache := newCache(t)
	s := stage("shared", "echo content >/out/out; echo x >>/build/trace")
	d1, seen1 := open(t, Options{Cache: cache})
	d2, seen2 := open(t, Options{Cache: cache})
	var wg sync.WaitGroup
	for _, d := range []*Builder{d1, d2} {
		wg.Go(func() {
			if _, err := d.Output(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if runs := len(seen1.ended(Done)) + len(seen2.ended(Done)); runs != 1 {
		t.Errorf("two runs at once ran the stage %d times; want once", runs)
	}

	path, err := d1.Output(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("cont"), 0o644); err != nil {
		t.Fatal(err)
	}
	d3, seen3 := open(t, Options{Cache: cache})
	path, err = d3.Output(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "content\n" {
		t.Errorf("after damage the cache returns %q", got)
	}
	if got := seen3.ended(Done); len(got) != 1 {
		t.Errorf("a damaged output was taken from the cache")
	}
}

func TestFailuresNameTheStageTheStepAndWhatItPrinted(t *testing.T) {
	d, seen := open(t, Options{})
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"a failing step": {"echo out of luck >&2; exit 7", []string{"broken arm: step 1 of 1", "exit status 7", "out of luck"}},
		"no output":      {"true", []string{"broken arm:", "did not write the file out"}},
		"a link":         {"ln -s /etc/passwd /out/out", []string{"did not write the file out"}},
		"the root":       {"echo x >/usr/x", []string{"Read-only file system"}},
		"the network":    {"grep -c : /proc/net/dev | sed 's/^/interfaces: /' >&2; exit 1", []string{"interfaces: 1\x00"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage("broken", c.script)
			s.Platform = "arm"
			_, err := d.Output(t.Context(), s)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error()+"\x00", w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
	if got := seen.ended(Done); len(got) > 0 {
		t.Errorf("a failed stage is reported as done: %v", got)
	}
}

func TestCancellingStopsAStageAndLeavesNothing(t *testing.T) {
	d, seen := open(t, Options{})
	if _, err := d.Output(t.Context(), stage("root", "echo >/out/out")); err != nil {
		t.Fatal(err) // from here on the root exists
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for !slices.Contains(seen.ended(Started), "endless") && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	began := time.Now()
	_, err := d.Output(ctx, stage("endless", "sleep 600; echo >/out/out"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v; want it to be the cancellation", err)
	}
	if took := time.Since(began); took > 5*time.Minute { // the stage itself takes twice that
		t.Errorf("stopping took %v", took)
	}
	if stopped, failed := seen.ended(Stopped), seen.ended(Failed); !slices.Equal(stopped, []string{"endless"}) || len(failed) > 0 {
		t.Errorf("reported as stopped: %v, as failed: %v", stopped, failed)
	}
	if left, _ := os.ReadDir(d.scratch); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestScratchOfAKilledRunIsRemoved(t *testing.T) {
	cache := newCache(t)
	dead := filepath.Join(cache, "tmp", "run-dead")
	if err := os.MkdirAll(filepath.Join(dead, "stage", "read-only"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dead+".lock", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dead, "stage", "read-only"), 0o500); err != nil {
		t.Fatal(err)
	}
	alive, _ := open(t, Options{Cache: cache})
	open(t, Options{Cache: cache})
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of a dead run is still there: %v", err)
	}
	if _, err := os.Stat(alive.scratch); err != nil {
		t.Errorf("the directory of a living run was removed: %v", err)
	}
}

func TestFreshRunsEveryStageOnce(t *testing.T) {
	cache := newCache(t)
	s := stage("again", "echo >/out/out")
	d, _ := open(t, Options{Cache: cache})
	if _, err := d.Output(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	fresh, seen := open(t, Options{Cache: cache})
	fresh.Fresh = true
	root, err := keyOf(rootOf(s.Packages))
	if err != nil {
		t.Fatal(err)
	}
	fresh.markMade(root) // other tests share the root, which is slow to create
	for range 2 {
		if _, err := fresh.Output(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if done, cached := seen.ended(Done), seen.ended(Cached); len(done) != 1 || len(cached) != 1 {
		t.Errorf("run: %v, taken from the cache: %v; want one of each", done, cached)
	}
}

// Looking for a root must not wait for stages that run on it.
func TestStagesOnOneRootRunAtTheSameTime(t *testing.T) {
	d, seen := open(t, Options{})
	if _, err := d.Output(t.Context(), stage("first", "echo >/out/out")); err != nil {
		t.Fatal(err) // from here on the root exists
	}
	ctx, cancel := context.WithCancel(t.Context())
	var long sync.WaitGroup
	defer long.Wait()
	defer cancel()
	long.Go(func() { _, _ = d.Output(ctx, stage("endless", "sleep 600; echo >/out/out")) })
	for end := time.Now().Add(time.Minute); !slices.Contains(seen.ended(Started), "endless"); {
		if time.Sleep(10 * time.Millisecond); time.Now().After(end) {
			t.Fatal("the first stage did not start within a minute")
		}
	}
	short, cancelShort := context.WithTimeout(t.Context(), time.Minute)
	defer cancelShort()
	if _, err := d.Output(short, stage("second", "echo >/out/out")); err != nil {
		t.Errorf("a stage waits for another one that runs on the same root: %v", err)
	}
	if waited := seen.ended(Waiting); len(waited) > 0 {
		t.Errorf("reported as waiting: %v", waited)
	}
}

func TestTheFailureOfASharedInputIsToldOnce(t *testing.T) {
	d, _ := open(t, Options{})
	broken := stage("broken", "echo no compiler >&2; exit 1")
	needs := func(name string) *recipe.Stage {
		s := stage(name, "cp /in/a /out/out", recipe.Input{Name: "a", Stage: &broken})
		return &s
	}
	_, err := d.Output(t.Context(), stage("last", "true", recipe.Input{Name: "one", Stage: needs("one")}, recipe.Input{Name: "two", Stage: needs("two")}))
	if err == nil || strings.Count(err.Error(), "broken: step 1 of 1") != 1 {
		t.Errorf("the last stage fails with %v", err)
	}
}

func TestTheFirstFailureStopsTheOtherInputs(t *testing.T) {
	d, seen := open(t, Options{})
	endless, broken := stage("endless", "sleep infinity"), stage("broken", "echo no compiler >&2; exit 1")
	_, err := d.Output(t.Context(), stage("last", "true", recipe.Input{Name: "one", Stage: &endless}, recipe.Input{Name: "two", Stage: &broken}))
	if err == nil || !strings.Contains(err.Error(), "broken: step 1 of 1") || strings.Contains(err.Error(), "endless") {
		t.Errorf("the last stage fails with %v", err)
	}
	if failed := seen.ended(Failed); !slices.Equal(failed, []string{"broken"}) {
		t.Errorf("reported as failed: %v", failed)
	}
}

func TestAStageOfSeveralCallersEndsWithTheLast(t *testing.T) {
	d, seen := open(t, Options{})
	if _, err := d.Output(t.Context(), stage("root", "echo >/out/out")); err != nil {
		t.Fatal(err) // from here on the root exists
	}
	begun := func(times int) {
		for end := time.Now().Add(5 * time.Minute); len(seen.ended(Started)) < times+1; {
			if time.Sleep(10 * time.Millisecond); time.Now().After(end) {
				t.Fatalf("the stage did not start %d times within five minutes", times)
			}
		}
	}
	endless := stage("endless", "sleep infinity")
	var callers sync.WaitGroup
	call := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		callers.Go(func() {
			if _, err := d.Output(ctx, endless); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
				t.Errorf("error = %v; want it to be the caller's own cancellation", err)
			}
		})
		return cancel
	}
	stopFirst := call()
	begun(1)
	stopSecond := call()
	stopThird := call()
	stopFirst()
	begun(2)
	stopSecond()
	stopThird()
	callers.Wait()
}

func TestEachBuildShowsTheNotesOfAStage(t *testing.T) {
	cache := newCache(t)
	talkative := stage("talkative", "echo one two | tee -a "+recipe.NotesFile+" >/out/out; echo three >>"+recipe.NotesFile)
	for _, when := range []string{"when the stage runs", "when its output is in the cache"} {
		d, seen := open(t, Options{Cache: cache})
		for range 2 {
			if path, err := d.Output(t.Context(), talkative); err != nil || read(t, path) != "one two\n" {
				t.Fatalf("output %q, error %v", path, err)
			}
		}
		var notes []string
		for _, e := range seen.all {
			if e.State == Noted {
				notes = append(notes, e.Title+": "+e.Note)
			}
		}
		if want := []string{"talkative: one two", "talkative: three"}; !slices.Equal(notes, want) {
			t.Errorf("%s, the notes are %q, want %q", when, notes, want)
		}
	}
}

func TestAStageThatWaitsForAnotherBuildIsShown(t *testing.T) {
	cache := newCache(t)
	d, seen := open(t, Options{Cache: cache})
	s := stage("shared", "echo >/out/out")
	key, err := keyOf(s)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := open(t, Options{Cache: cache})
	unlock, err := other.lock(t.Context(), key, s.Title(), true)
	if err != nil {
		t.Fatal(err)
	}
	var run sync.WaitGroup
	run.Go(func() {
		if _, err := d.Output(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(time.Minute); !slices.Contains(seen.ended(Waiting), "shared"); {
		if time.Sleep(10 * time.Millisecond); time.Now().After(end) {
			t.Error("nothing is reported while the stage waits")
			break
		}
	}
	unlock()
	run.Wait()
	if done := seen.ended(Done); !slices.Equal(done, []string{"shared"}) {
		t.Errorf("reported as done: %v", done)
	}
}

// A run may be unable to remove its directory, for example because its disk fails. A later run removes it.
func TestWhatARunLeavesIsRemovedByTheNext(t *testing.T) {
	parent := t.TempDir()
	first, release, err := newScratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if !exists(first) {
		t.Fatalf("%s is gone", first)
	}
	second, release, err := newScratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	if exists(first) || exists(first+".lock") {
		t.Errorf("%s is still there", first)
	}
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	release()
	if left, _ := filepath.Glob(filepath.Join(parent, "run-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
