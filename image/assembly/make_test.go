package assembly

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// stages replaces the stages of a build for arm. The output of each stage is a program for arm, or for the platform
// that is set for the stage's name.
type stages struct {
	lock     sync.Mutex
	programs map[string]string
	wrong    map[string]string
	failing  string
	ran      []string
}

func newStages(t *testing.T) *stages {
	t.Helper()
	compileAll.Do(func() {
		for _, name := range []string{"arm", "arm64", "armv5"} {
			content, err := os.ReadFile(program(t, target(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			compiled[name] = content
		}
	})
	s := &stages{programs: map[string]string{}, wrong: map[string]string{}}
	for name, content := range compiled {
		s.programs[name] = filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(s.programs[name], content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// compiled has the programs of all tests.
var (
	compiled   = map[string][]byte{}
	compileAll sync.Once
)

func (s *stages) run(_ context.Context, stage recipe.Stage) (string, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.ran = append(s.ran, stage.Title())
	if stage.Title() == s.failing {
		return "", errors.New("no disk")
	}
	if other := s.wrong[stage.Name]; other != "" {
		return s.programs[other], nil
	}
	return s.programs[stage.Platform], nil
}

func plan(t *testing.T, name string) recipe.Plan {
	t.Helper()
	c := recipe.Default()
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	return recipe.Plan{Target: target(t, name), Config: c, Resolved: recipe.Resolved{Features: []string{"cli"}}}
}

func TestMakePutsTheOutputsOfStagesWhereTheyBelong(t *testing.T) {
	s := newStages(t)
	p := plan(t, "arm")
	extra := plant(t, map[string]string{"etc/motd": "hello"})
	dir := filepath.Join(t.TempDir(), "rootfs")
	got, err := Make(t.Context(), s.run, p, extra, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rootfs != dir || got.Target.Name != "arm" || got.Programs["tailscale"] != s.programs["arm"] || got.Programs["busybox"] != s.programs["arm"] || len(got.Programs) != 2 {
		t.Errorf("the product is %+v", got)
	}
	for _, e := range p.Entries() {
		info, err := os.Lstat(filepath.Join(dir, e.Path))
		if err != nil {
			t.Error(err)
			continue
		}
		if link, _ := os.Readlink(filepath.Join(dir, e.Path)); link != e.Link {
			t.Errorf("%s links to %q; want %q", e.Path, link, e.Link)
		}
		if e.Executable != (info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0) {
			t.Errorf("%s has the mode %v", e.Path, info.Mode())
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "etc/motd")); err != nil || string(text) != "hello" {
		t.Errorf("the user's own file is %q, %v", text, err)
	}
	if _, ok := got.Extra["/etc/motd"]; !ok || len(got.Extra) != 1 {
		t.Errorf("the user's own files are %v", got.Extra)
	}
	for _, want := range []string{"tailscale arm", "busybox arm", "compress tailscale arm", "compress busybox arm"} {
		if !slices.Contains(s.ran, want) {
			t.Errorf("%s did not run: %q", want, s.ran)
		}
	}
}

// Less can be checked in a packed program, so the linked one is checked, too.
func TestALinkedProgramForAnotherMachineIsRefused(t *testing.T) {
	for _, stage := range []string{"tailscale", "busybox"} {
		for _, other := range []string{"arm64", "armv5"} {
			s := newStages(t)
			s.wrong[stage] = other
			dir := filepath.Join(t.TempDir(), "rootfs")
			_, err := Make(t.Context(), s.run, plan(t, "arm"), "", dir)
			if err == nil || !strings.Contains(err.Error(), "checking the output of "+stage+" for arm: ") {
				t.Errorf("%s for %s: error = %v", stage, other, err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s for %s: a root filesystem was begun", stage, other)
			}
		}
	}
}

func TestErrorsOfAllPlatformsAreListed(t *testing.T) {
	p := plan(t, "arm")
	targets := []platform.Target{target(t, "arm"), target(t, "arm64"), target(t, "armv5")}
	resolve := func(context.Context) (recipe.Resolved, error) { return p.Resolved, nil }
	s := newStages(t)
	s.wrong["tailscale"] = "arm64"
	_, err := MakeAll(t.Context(), s.run, targets, p.Config, resolve, "", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "tailscale for arm: ") || !strings.Contains(err.Error(), "tailscale for armv5: ") || strings.Contains(err.Error(), "tailscale for arm64: ") {
		t.Errorf("error = %v", err)
	}

	s = newStages(t)
	directory := t.TempDir()
	products, err := MakeAll(t.Context(), s.run, targets, p.Config, resolve, "", directory)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range targets {
		if products[i].Target.Name != want.Name || products[i].Rootfs != filepath.Join(directory, "rootfs-"+want.Name) {
			t.Errorf("product %d is for %s in %s", i, products[i].Target, products[i].Rootfs)
		}
	}
}

func TestWhatMakeReturnsOfFailures(t *testing.T) {
	p := plan(t, "arm")
	for _, failing := range []string{"compress tailscale arm", "tailscale arm", "busybox arm"} {
		s := newStages(t)
		s.failing = failing
		if _, err := Make(t.Context(), s.run, p, "", filepath.Join(t.TempDir(), "rootfs")); err == nil || !strings.Contains(err.Error(), "no disk") {
			t.Errorf("%s: error = %v", failing, err)
		}
	}
	s := newStages(t)
	extra := plant(t, map[string]string{"bin/busybox/file": "in the place of a program"})
	if _, err := Make(t.Context(), s.run, p, extra, filepath.Join(t.TempDir(), "rootfs")); err == nil || !strings.Contains(err.Error(), "bin/busybox") {
		t.Errorf("error = %v", err)
	}
	failing := func(context.Context) (recipe.Resolved, error) { return recipe.Resolved{}, errors.New("no network") }
	if _, err := MakeAll(t.Context(), s.run, []platform.Target{p.Target}, p.Config, failing, "", t.TempDir()); err == nil || err.Error() != "no network" {
		t.Errorf("error = %v", err)
	}
}
