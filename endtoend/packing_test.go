package endtoend

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/platform"
)

// packings are the ways of packing that the benchmark compares: none, UPX as used elsewhere, and this project's. The
// packed content is the same: features, applets and trusted roots.
var packings = []struct {
	name  string
	flags []string
}{
	{"plain", []string{"--compression=none", "--keep-symbols", "--stock-runtime", "--certificates=file"}},
	{"UPX", []string{"--compression=upx", "--keep-symbols", "--stock-runtime", "--certificates=file"}},
	{"ours", nil},
}

// BenchmarkPacking measures images that are packed in different ways: their sizes, the duration of a CLI command, the
// daemon's memory alone and together with a running command, and the time from the container's start to the login.
// ARM images run on an emulated processor: their times can only be compared with each other, and their memory is not
// measured because it would include the emulator's.
func BenchmarkPacking(b *testing.B) {
	for b.Loop() {
		packedSizes(b)
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprintln(table, "\nplatform\tpacked\t--version, ms\tstatus, ms\tready, s\tRSS, kB\tunreclaimable, kB\twith a command, kB\t")
		for _, target := range platform.All() {
			for _, p := range packings {
				b.Run(target.Name+"-"+p.name, func(b *testing.B) {
					_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", target.Name, p.name, measurePacked(b, builtImage(b, target.Name, measuredFlags(target.Name, p.flags)...)))
				})
			}
		}
		_ = table.Flush()
	}
}

// measuredFlags adds the flags that an image needs on an emulator, where it uses userspace networking.
func measuredFlags(platform string, flags []string) []string {
	if _, ok := emulators[platform]; ok {
		return slices.Concat(withGVisor, flags)
	}
	return flags
}

func packedSizes(b *testing.B) {
	b.Helper()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\nbytes\tpacked\ttailscale\tbusybox\tcertificates\tbase files\tall\t")
	for _, p := range packings {
		report, err := size.Parse(command(b, "sh", append([]string{"-c", `exec go run ../cmd/mikrotik-tailscale sizes --json "$@" 2>/dev/null`, "sh"}, p.flags...)...))
		if err != nil {
			b.Fatal(err)
		}
		for _, target := range report.Platforms {
			stored := map[string]int64{}
			for _, c := range target.Components {
				stored[c.Name] = c.Stored
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t\n", target.Name, p.name,
				stored["tailscale"], stored["busybox"], stored["certificates"], stored["base files"], target.Stored)
		}
	}
	_ = table.Flush()
}

// measurePacked returns a row of the table.
func measurePacked(b *testing.B, i image) string {
	state := b.TempDir()
	again := func() *container { return emulated(b, i, state) }
	times := 3
	native := i.target.Name == "amd64"
	if native {
		n := lonely(b)
		times = 20
		startContainer(b, options{name: "other", image: builtImage(b, i.target.Name, withGVisor...), network: n,
			env: []string{"TS_USERSPACE=true", "TS_EXTRA_ARGS=" + testcontrol}}).running()
		again = func() *container {
			c := startContainer(b, options{name: "router", image: i, network: n, state: state, env: []string{"TS_EXTRA_ARGS=" + testcontrol}})
			for !c.healthy() && !c.ended() {
				time.Sleep(10 * time.Millisecond)
			}
			c.running()
			return c
		}
	}
	again().stop() // the first start registers a new node
	c := again()
	ready := time.Since(c.began)
	eventually(b, "the entrypoint is done", func() bool { return !c.runs("tailscale --socket") })
	each := func(args string) float64 {
		began := time.Now()
		c.must(fmt.Sprintf("i=0; while [ $i -lt %d ]; do tailscale %s >/dev/null || exit; i=$((i + 1)); done", times, args))
		return float64(time.Since(began).Microseconds()) / 1000 / float64(times)
	}
	row := fmt.Sprintf("%.1f\t%.1f\t%.1f\t", each("--version"), each("status"), ready.Seconds())
	if !native {
		return row + strings.Repeat("-\t", 3)
	}
	alone := c.memory()
	c.must("tailscale ping --c=0 --until-direct=false other >/tmp/report 2>&1 &")
	eventually(b, "a command runs", func() bool {
		_, err := c.sh("grep -q pong /tmp/report")
		return err == nil
	})
	return row + fmt.Sprintf("%d\t%d\t%d\t", alone.daemon, alone.unreclaimable, c.memory().unreclaimable)
}
