package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/verify"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// built is the JSON output of a build of all platforms.
type built struct{ Tarballs []result }

// buildAllPlatforms runs the command like a user, in a directory of its own.
func buildAllPlatforms(t *testing.T, args ...string) built {
	t.Helper()
	testtools.Require(t, local.Tools()...)
	t.Chdir(t.TempDir())
	stdout, stderr, code := call(t, append([]string{"build", "--arch", "all", "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	if strings.Contains(stderr, ": note: ") {
		t.Errorf("the default release differs from what the build expects:\n%s", stderr)
	}
	var b built
	if err := json.Unmarshal([]byte(stdout), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Tarballs) != len(platform.All()) {
		t.Fatalf("%d tarballs; want one for each platform", len(b.Tarballs))
	}
	return b
}

// The two builds only share the sources: they differ in the directory, the cache, the number of parallel stages and
// the time. The second cache is kept, so that the test is fast if nothing has changed.
func TestTwoBuildsProduceTheSameBytes(t *testing.T) {
	testmode.Long(t)
	cache, err := local.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	first := buildAllPlatforms(t)
	second := buildAllPlatforms(t, "--jobs", "1", "--output", "elsewhere/deeper", "--cache-dir", cache+"-second")
	for i, r := range first.Tarballs {
		if s := second.Tarballs[i]; r.SHA256 != s.SHA256 || r.Path == s.Path {
			t.Errorf("%s has the sha256 %s, %s has %s", r.Path, r.SHA256, s.Path, s.SHA256)
		}
	}
}

// imageTools read images independently of this project.
var imageTools = []local.Tool{{Command: "skopeo", Package: "skopeo"}, {Command: "umoci", Package: "umoci"}}

func TestImages(t *testing.T) {
	testtools.Require(t, append(imageTools, local.Tool{Command: "qemu-arm-static", Package: "qemu-user-static"})...)
	b := buildAllPlatforms(t)
	tool(t, "sh", "-c", "cd dist && sha256sum --check --strict "+attest.ChecksumsName)
	for i, target := range platform.All() {
		t.Run(target.Name, func(t *testing.T) {
			r := b.Tarballs[i]
			tarball, err := filepath.Abs(r.Path)
			if err != nil {
				t.Fatal(err)
			}
			inspect(t, tarball, target)
			rootfs := unpack(t, tarball)
			if err := verify.Tree(rootfs, target); err != nil {
				t.Error(err)
			}
			size, err := assembly.Size(rootfs)
			if err != nil {
				t.Fatal(err)
			}
			if size != r.RootfsSize {
				t.Errorf("the files take %d bytes; want %d as reported", size, r.RootfsSize)
			}
			runs(t, rootfs, target)
		})
	}
}

// inspect reads the tarball with a program that shares no code with this project.
func inspect(t *testing.T, tarball string, target platform.Target) {
	t.Helper()
	var config struct {
		OS, Architecture, Variant string
		Config                    struct {
			Entrypoint, Cmd, Env []string
			Labels               map[string]string
			Volumes              map[string]struct{}
			Healthcheck          struct{ Test []string }
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal([]byte(tool(t, "skopeo", "inspect", "--config", "--raw", "docker-archive:"+tarball)), &config); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSuffix(config.OS+"/"+config.Architecture+"/"+config.Variant, "/"); got != target.Platform() {
		t.Errorf("platform = %s; want %s", got, target.Platform())
	}
	if n := len(config.RootFS.DiffIDs); n != 1 {
		t.Errorf("%d layers; want 1", n)
	}
	if got := config.Config.Labels["org.opencontainers.image.version"]; got != recipe.Default().ImageVersion() {
		t.Errorf("version label = %q", got)
	}
	if got := config.Config.Labels["mikrotik-tailscale.tailscale.features"]; !strings.Contains(got, "unixsocketidentity") || !strings.Contains(got, "c2n") {
		t.Errorf("features label = %q; want the default features and their dependencies", got)
	}
	if _, ok := config.Config.Volumes["/var/lib/tailscale"]; !ok || !slices.Equal(config.Config.Entrypoint, []string{"/usr/local/bin/entrypoint"}) {
		t.Errorf("volumes %v, entrypoint %q", config.Config.Volumes, config.Config.Entrypoint)
	}
	if got := config.Config.Healthcheck.Test; !slices.Equal(got, []string{"CMD", "/usr/local/bin/healthcheck"}) {
		t.Errorf("health check = %q", got)
	}
	listing := tool(t, "tar", "-tf", tarball)
	if !strings.Contains(listing, "manifest.json\n") || strings.Count(listing, "/layer.tar\n") != 1 {
		t.Errorf("not the layout of a docker archive with one uncompressed layer:\n%s", listing)
	}
	if tags := tool(t, "skopeo", "inspect", "--format", "{{.RepoTags}}", "docker-archive:"+tarball); tags == "" {
		t.Error("no repository tag")
	}
}

// unpack extracts the image with skopeo and umoci, and returns the path of its root filesystem.
func unpack(t *testing.T, tarball string) string {
	t.Helper()
	testtools.Require(t, imageTools...)
	dir := t.TempDir()
	tool(t, "skopeo", "copy", "--quiet", "docker-archive:"+tarball, "oci:"+dir+"/image:router")
	tool(t, "umoci", "unpack", "--image", dir+"/image:router", dir+"/bundle")
	return filepath.Join(dir, "bundle", "rootfs")
}

// runs starts every program of the image. If the platform is not this machine's, it uses an emulator: for ARMv5 an
// ARM926, the smallest processor of that version.
func runs(t *testing.T, rootfs string, target platform.Target) {
	t.Helper()
	if got := inImage(t, rootfs, target, "tailscale version"); !strings.HasPrefix(got, recipe.TailscaleVersion+"\n") {
		t.Errorf("tailscale version prints %q", got)
	}
	if got := inImage(t, rootfs, target, "tailscaled --version"); !strings.HasPrefix(got, recipe.TailscaleVersion+"\n") {
		t.Errorf("tailscaled --version prints %q", got)
	}
	pipeline := `printf 'b 2\na 1\nc 3\n' | sort | awk '{ s += $2; print $1 } END { print s }' | sed 's/^a$/A/' | tr '\n' ' ' | grep -o 'A b c 6'`
	if got := inImage(t, rootfs, target, pipeline); got != "A b c 6\n" {
		t.Errorf("the pipeline prints %q", got)
	}
	list, err := applets.Named("default")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(inImage(t, rootfs, target, "busybox --list")); !slices.Equal(sortedCopy(got), list.Names()) {
		t.Errorf("busybox has %v\nwant        %v", got, list.Names())
	}
	// A missing applet exits with 127, one that can't be started with 126 or a signal.
	answers := inImage(t, rootfs, target, `cd /bin && for a in *; do
		out=$("./$a" --help </dev/null 2>&1); code=$?
		case $out in *'applet not found'*) code=127;; esac
		echo "$a $code"; done`)
	answered := 0
	for line := range strings.Lines(answers) {
		var name string
		var code int
		if _, err := fmt.Sscan(line, &name, &code); err != nil || code >= 126 {
			t.Errorf("applet %q", strings.TrimSpace(line))
		}
		answered++
	}
	if want := len(list.Names()) + 1; answered != want { // busybox itself is in the directory, too
		t.Errorf("%d programs in /bin; want %d", answered, want)
	}
}

// The daemon must suppress verbose lines, because a router's log is short.
func TestVerboseLinesAreLeftOutOfTheLog(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	t.Chdir(t.TempDir())
	if _, stderr, code := call(t, "build", "--arch", "amd64"); code != 0 {
		t.Fatal(stderr)
	}
	testtools.Require(t, imageTools...)
	amd64, err := platform.Parse("amd64")
	if err != nil {
		t.Fatal(err)
	}
	rootfs := unpack(t, "tailscale-amd64.tar")
	const daemon = `timeout -s INT 4 tailscaled --state=mem: --socket=/tmp/sock --no-logs-no-support 2>&1 || true`
	quiet, verbose := inImage(t, rootfs, amd64, daemon), inImage(t, rootfs, amd64, "export TS_LOG_VERBOSITY=1; "+daemon)
	for mark := range strings.SplitSeq("[v1]|[v2]|[v\x00JSON]", "|") {
		if strings.Contains(quiet+verbose, mark) {
			t.Errorf("the log has lines with %q", mark)
		}
	}
	const levelZero, levelOne = "Engine created.", "wgengine: Reconfig done"
	if !strings.Contains(quiet, levelZero) || strings.Contains(quiet, levelOne) {
		t.Errorf("the daemon's log:\n%s", quiet)
	}
	if !strings.Contains(verbose, levelZero) || !strings.Contains(verbose, levelOne) {
		t.Errorf("the daemon's log with TS_LOG_VERBOSITY=1:\n%s", verbose)
	}
}

func sortedCopy(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// emulator is the program that runs a platform's binaries, and the magic bytes by which the kernel recognizes them.
type emulator struct{ program, cpu, magic string }

var emulators = map[string]emulator{
	"arm64": {"qemu-aarch64-static", "", elfMagic(2, 0xb7)},
	"arm":   {"qemu-arm-static", "cortex-a7", elfMagic(1, 0x28)},
	"armv5": {"qemu-arm-static", "arm926", elfMagic(1, 0x28)},
}

// elfMagic returns the start of an ELF header in the format of the kernel's binfmt_misc.
func elfMagic(class, machine byte) string {
	return fmt.Sprintf(`\x7fELF\x%02x\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x%02x\x00:`+
		`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`, class, machine)
}

// inImage runs a shell script in the root filesystem, in its own namespaces, which end with all their processes. An
// emulator is only registered for these namespaces.
func inImage(t *testing.T, rootfs string, target platform.Target, script string) string {
	t.Helper()
	e := emulators[target.Name]
	setup := `
		set -eu
		mount -t proc proc "$1/proc"
		mount --rbind /dev "$1/dev"
		# O and P: the emulator gets the program as an open file and with its own name, since a launcher's program has no path.
		if [ -n "$2" ]; then
			mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
			printf '%s' ":router:M::$3:$(command -v "$2"):OPF" >/proc/sys/fs/binfmt_misc/register
		fi
		exec chroot "$1" /bin/sh -c "$4"`
	args := []string{"--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--",
		"sh", "-c", setup, "sh", rootfs, e.program, e.magic, script}
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Env = []string{"PATH=/usr/local/bin:/bin:/usr/sbin:/usr/bin:/sbin", "HOME=/root"}
	if e.cpu != "" {
		cmd.Env = append(cmd.Env, "QEMU_CPU="+e.cpu)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// tool runs a program that the test needs, and returns its standard output.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out)
}
