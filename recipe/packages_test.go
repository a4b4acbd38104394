package recipe

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestEverySetIsLockedForEveryMachine(t *testing.T) {
	for _, machine := range Machines {
		for _, s := range PackageSets() {
			locked := s.lockedFor(machine, packagesLock)
			for _, want := range append([]string{"libc6", "apt"}, s.Packages...) {
				if !slices.ContainsFunc(locked, func(line string) bool {
					fields := strings.Fields(line)
					return len(fields) == 3 && fields[0] == want && (fields[1] == machine || fields[1] == "all")
				}) {
					t.Errorf("[%s %s] has no version of %s: run go run ./cmd/mikrotik-tailscale lock", machine, s.Name, want)
				}
			}
		}
	}
	if len(PackageSets()) != 2 {
		t.Errorf("%d sets; want one for tools and one for the compilers of all platforms", len(PackageSets()))
	}
}

// Two caches from before and after a point release must not use each other's outputs.
func TestAStageDependsOnTheVersionsOfItsPackages(t *testing.T) {
	before := tools.lockedFor("amd64", "[amd64 tools]\napt amd64 1\n")
	after := tools.lockedFor("amd64", "[amd64 tools]\napt amd64 2\n")
	keys := map[string]bool{}
	for _, locked := range [][]string{before, after} {
		s := Certificates()
		s.Packages.Locked = locked
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		keys[string(text)] = true
	}
	if len(keys) != 2 {
		t.Error("the stage is the same with other versions")
	}
	if slices.Contains(Machines, runtime.GOARCH) && len(Certificates().Packages.Locked) == 0 {
		t.Error("a stage has no versions on this machine")
	}
}

func TestFormatLockWritesWhatIsReadAgain(t *testing.T) {
	versions := func(machine string, s PackageSet) ([]string, error) {
		return []string{"z " + machine + " 1", s.Packages[0] + " all 2"}, nil
	}
	lock, err := FormatLock(versions)
	if err != nil {
		t.Fatal(err)
	}
	for _, machine := range Machines {
		for _, s := range PackageSets() {
			want, _ := versions(machine, s)
			slices.Sort(want)
			if got := s.lockedFor(machine, lock); !slices.Equal(got, want) {
				t.Errorf("[%s %s] = %q; want %q", machine, s.Name, got, want)
			}
		}
	}
	if got := tools.lockedFor("mips", lock); got != nil {
		t.Errorf("an unknown machine has %q", got)
	}
	failing := func(string, PackageSet) ([]string, error) { return nil, fmt.Errorf("no archive") }
	if lock, err := FormatLock(failing); err == nil || lock != "" {
		t.Errorf("without an archive: %q, %v", lock, err)
	}
}

// Renovate changes the versions one by one.
func TestImagesMatchTheVersions(t *testing.T) {
	for image, want := range map[string]string{
		DebianImage:        "debian:" + DebianSuite + "-slim",
		GoImage(GoVersion): "golang:" + GoVersion + "-" + DebianSuite,
		GoImage("1.25.1"):  "golang:1.25.1-" + DebianSuite,
	} {
		if tag, _, _ := strings.Cut(image, "@"); tag != want {
			t.Errorf("the image is %s; want %s", tag, want)
		}
	}
	if _, err := os.Stat(filepath.Join("..", LockFile)); err != nil {
		t.Error(err)
	}
}
