package endtoend

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

// scratch is the directory for this run.
var scratch string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if testing.Short() {
		return m.Run()
	}
	if os.Geteuid() != 0 {
		fmt.Println("these tests create network namespaces: run them as root")
		return 1
	}
	tools := append(local.Tools(),
		local.Tool{Command: "ip", Package: "iproute2"},
		local.Tool{Command: "iptables", Package: "iptables"},
		local.Tool{Command: "ping", Package: "iputils-ping"},
		local.Tool{Command: "iperf3", Package: "iperf3"},
		local.Tool{Command: "qemu-arm-static", Package: "qemu-user-static"})
	if err := local.Require(context.Background(), func(s string) bool { fmt.Println(s); return true }, tools...); err != nil {
		fmt.Println(err)
		return 1
	}
	removeLeftovers()
	dir, err := os.MkdirTemp("", "endtoend-*")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	scratch = dir
	defer func() { _ = os.RemoveAll(dir) }()
	if err := waitTogether(); err != nil {
		fmt.Println(err)
		return 1
	}
	return m.Run()
}

// waitTogether lets twice as many tests run at once as there are processors, unless the user has chosen a number: most of
// the time, they wait.
func waitTogether() error {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if chosen {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
}

// image is an unpacked image.
type image struct {
	target platform.Target
	rootfs string
	config v1.Config
	// plain is true if the programs are upstream's.
	plain bool
}

var (
	imagesMu sync.Mutex
	images   = map[string]image{}
)

// builtImage returns the image that the command builds for a platform with additional flags.
func builtImage(t testing.TB, arch string, flags ...string) image {
	t.Helper()
	testmode.Machine(t)
	imagesMu.Lock()
	defer imagesMu.Unlock()
	name := strings.Join(append([]string{arch}, flags...), "")
	if i, ok := images[name]; ok {
		return i
	}
	i := buildImage(t, filepath.Join(scratch, name), arch, flags...)
	images[name] = i
	return i
}

// buildImage builds an image and unpacks it in a directory.
func buildImage(t testing.TB, dir, arch string, flags ...string) image {
	t.Helper()
	target, err := platform.Parse(arch)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const program = "../cmd/mikrotik-tailscale"
	inputs(t, program)
	command(t, "go", append([]string{"run", program, "build", "--arch", arch, "--output", dir}, flags...)...)
	img, err := tarball.ImageFromPath(filepath.Join(dir, assembly.TarballName(target)), nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	i := image{target: target, rootfs: filepath.Join(dir, "rootfs"), config: file.Config}
	if err := os.Mkdir(i.rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	extract := exec.CommandContext(t.Context(), "tar", "-x", "-C", i.rootfs)
	extract.Stdin = mutate.Extract(img)
	if out, err := extract.CombinedOutput(); err != nil {
		t.Fatalf("unpacking the image: %v\n%s", err, out)
	}
	return i
}

// inputs reads a program's sources, so that they are inputs of the tests for go test's cache. go test only knows the files
// that a test reads itself, not those of a program that it runs.
func inputs(t testing.TB, program string) {
	t.Helper()
	module := filepath.Dir(strings.TrimSpace(command(t, "go", "env", "GOMOD")))
	for dir := range strings.Lines(command(t, "go", "list", "-deps", "-f", "{{.Dir}}", program)) {
		if dir = strings.TrimSpace(dir); !strings.HasPrefix(dir, module) {
			continue
		}
		if _, err := os.ReadDir(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// command runs a program on this machine and returns its output.
func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// eventually waits until a condition holds. The limit is far longer than a slow machine needs, because no test checks
// times.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if until(time.Now().Add(3*time.Minute), holds) {
		return
	}
	t.Fatalf("not true after three minutes: %s", what)
}

// until waits until a condition holds, or until the given time.
func until(end time.Time, holds func() bool) bool {
	for pause := 100 * time.Millisecond; time.Now().Before(end); pause = min(2*pause, 500*time.Millisecond) {
		if holds() {
			return true
		}
		time.Sleep(pause)
	}
	return false
}
