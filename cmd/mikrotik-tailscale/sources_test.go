package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// sourcesOf runs the command and unpacks the archive.
func sourcesOf(t *testing.T, args ...string) (archive, directory string) {
	t.Helper()
	directory = t.TempDir()
	archive = filepath.Join(directory, "sources.tar.gz")
	stdout, stderr, code := call(t, append([]string{"sources", "--output", archive, "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	var reported struct{ Path, SHA256 string }
	if err := json.Unmarshal([]byte(stdout), &reported); err != nil {
		t.Fatal(err)
	}
	if sum, _, _ := strings.Cut(tool(t, "sha256sum", archive), " "); reported.Path != archive || reported.SHA256 != sum {
		t.Errorf("reported %+v; the archive has the sha256 %s", reported, sum)
	}
	tool(t, "tar", "-C", directory, "--strip-components=1", "-xf", archive)
	return archive, directory
}

func TestTheSourcesAreWhatTheBuildDownloads(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	_, directory := sourcesOf(t)
	for name, want := range map[string]string{"busybox.tar.bz2": recipe.Default().BusyboxVersion, "musl.tar.gz": recipe.MuslVersion, "7zip.tar": ""} {
		path := filepath.Join(directory, "sources", name)
		listed := tool(t, "tar", "-tf", path)
		if first, _, _ := strings.Cut(listed, "\n"); !strings.Contains(first, want) {
			t.Errorf("%s begins with %s; want %s", name, first, want)
		}
	}
	if got, _, _ := strings.Cut(tool(t, "sha256sum", filepath.Join(directory, "sources/musl.tar.gz")), " "); got != recipe.MuslChecksum {
		t.Errorf("musl has the sha256 %s", got)
	}
	// 7-Zip's code is only in images with the launcher.
	if _, plain := sourcesOf(t, "--compression", "none", "--arch", "arm"); len(listing(t, plain+"/sources")) != 2 || strings.Contains(read(t, plain+"/README.txt"), "7-Zip") {
		t.Errorf("without the launcher, the sources are %v", listing(t, plain+"/sources"))
	}
}

// Following the archive's instructions results in the same program as in the image.
func TestTheSourcesBuildTheProgramInTheImage(t *testing.T) {
	testmode.Long(t)
	testtools.Require(t, local.Tools()...)
	archive, directory := sourcesOf(t)
	if again, _ := sourcesOf(t, "--no-cache"); read(t, archive) != read(t, again) {
		t.Error("a second archive has other bytes")
	}
	for _, target := range platform.All() {
		t.Run(target.Name, func(t *testing.T) {
			stdout, stderr, code := call(t, "sbom", "--arch", target.Name)
			if code != 0 {
				t.Fatalf("exit code %d:\n%s", code, stderr)
			}
			var sbom struct {
				Components []struct {
					Name   string
					Hashes []struct{ Content string }
				}
			}
			if err := json.Unmarshal([]byte(stdout), &sbom); err != nil {
				t.Fatal(err)
			}
			want := ""
			for _, c := range sbom.Components {
				if c.Name == "/bin/busybox" {
					want = c.Hashes[0].Content
				}
			}
			root := debianWith(t, target)
			t.Parallel() // make runs one compiler at a time
			out, err := exec.CommandContext(t.Context(), "bwrap", "--ro-bind", root, "/", "--dev", "/dev", "--proc", "/proc",
				"--tmpfs", "/tmp", "--tmpfs", recipe.BuildDir, "--tmpfs", recipe.InDir, "--tmpfs", recipe.OutDir, "--unshare-net",
				"--bind", directory, "/mnt", "sh", "/mnt/rebuild-"+target.Name+".sh").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if got, _, _ := strings.Cut(lines[len(lines)-1], " "); got != want || want == "" {
				t.Errorf("rebuilt has the sha256 %q; the image's SBOM says %q", got, want)
			}
		})
	}
}

// debianWith returns the Debian root that was used last and has the compiler for a target.
func debianWith(t *testing.T, target platform.Target) string {
	t.Helper()
	cache, err := local.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	roots, err := filepath.Glob(filepath.Join(cache, "roots", "*", "usr/bin", target.Triple+"-gcc"))
	if err != nil || len(roots) == 0 {
		t.Fatalf("no Debian root has a compiler for %s (%v)", target, err)
	}
	for i := range roots {
		roots[i] = strings.TrimSuffix(roots[i], "/usr/bin/"+target.Triple+"-gcc")
	}
	return slices.MaxFunc(roots, func(a, b string) int { return modified(t, a).Compare(modified(t, b)) })
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func TestPublishAttachesTheSources(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	types := func(args ...string) []string {
		var all []string
		for _, part := range publishJSON(t, append([]string{"--address", "registry.example/x", "--arch", "arm", "--dry-run"}, args...)...).Attached {
			all = append(all, part.Type)
		}
		return all
	}
	const sources = "application/vnd.mikrotik-tailscale.sources+gzip"
	if got, want := types(), []string{attest.ProvenanceType, sources}; !slices.Equal(got, want) {
		t.Errorf("attached to the index are %q; want %q", got, want)
	}
	if got, want := types("--no-sources"), []string{attest.ProvenanceType}; !slices.Equal(got, want) {
		t.Errorf("without sources, attached to the index are %q; want %q", got, want)
	}
}
