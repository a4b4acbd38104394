package endtoend

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testtools"
)

// BenchmarkRouters compares routers that run the image with routers that run upstream's Tailscale of the same release,
// which has all features, all symbols and inlining, and isn't packed. Everything else is the same.
//
// The two kinds alternate, with as many rounds as -benchtime 10x says, and each round sends the same number of bytes.
// On a machine that also does other work, CPU time per gigabyte is more meaningful than Mbit/s, so the table ends
// with the medians of the ratios within each round.
func BenchmarkRouters(b *testing.B) {
	image, plain := builtImage(b, "amd64"), plainImage(b, newestTailscale, testtools.Go)
	var all []figures
	var ratios [3][]float64
	for round := 1; b.Loop(); round++ {
		var pair [2]figures
		// Both kinds are first equally often.
		for i := range pair {
			i = (i + round) % 2
			name, what := "image", image
			if i == 1 {
				name, what = "plain", plain
			}
			pair[i] = measure(b, what)
			pair[i].name = fmt.Sprintf("%s-%d", name, round)
		}
		all = append(all, pair[:]...)
		for t := range ratios {
			ratios[t] = append(ratios[t], pair[0].transfers[t].cpu/pair[1].transfers[t].cpu)
		}
	}
	printFigures(all, ratios)
}

// scope is a test whose cleanups run when end is called. Sub-benchmarks would also clean up after each measurement, but
// with -benchtime 10x Go runs each of them twice.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup implements testing.TB.
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// end runs the cleanups, the last one first.
func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// figures are the measurements of one router.
type figures struct {
	name          string
	files         int64
	ready, status time.Duration
	idle, busy    memory
	// used is the part of the unpacked program that the transfers use, in kilobytes. It is an upper bound, because
	// the kernel also marks some pages around each page that is used for the first time.
	used int64
	// transfers are there, back, and there with IPv6.
	transfers [3]transfer
}

// transfer is a number of bytes that two routers have carried.
type transfer struct {
	rate float64 // Mbit/s
	cpu  float64 // seconds of both daemons for each gigabyte
}

func printFigures(all []figures, ratios [3][]float64) {
	// A benchmark's own log is cut after ten lines.
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\nrouter\tfiles, bytes\tready, s\tstatus, ms\tRSS, kB\tunreclaimable, kB\tRSS after\tunreclaimable after\tprogram used\t"+
		"there, Mbit/s\tback\tIPv6\tthere, CPU s/GB\tback\tIPv6\t")
	for _, f := range all {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%.1f\t%d\t%d\t%d\t%d\t%d\t%d\t", f.name, f.files,
			f.ready.Seconds(), f.status.Milliseconds(), f.idle.daemon, f.idle.unreclaimable, f.busy.daemon, f.busy.unreclaimable, f.used)
		for _, t := range f.transfers {
			_, _ = fmt.Fprintf(table, "%.0f\t", t.rate)
		}
		for _, t := range f.transfers {
			_, _ = fmt.Fprintf(table, "%.2f\t", t.cpu)
		}
		_, _ = fmt.Fprintln(table)
	}
	_, _ = fmt.Fprintf(table, "median of image/plain\t\t\t\t\t\t\t\t\t\t\t\t%.3f\t%.3f\t%.3f\t\n", median(ratios[0]), median(ratios[1]), median(ratios[2]))
	_ = table.Flush()
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return (values[len(values)/2] + values[(len(values)-1)/2]) / 2
}

// measure starts two routers, the first of them twice, and sends TCP between hosts of both sites. It ends both, and
// their world.
func measure(t testing.TB, i image) figures {
	b := &scope{TB: t}
	defer b.end()
	w := newWorld(b)
	w.control.start()
	key := w.control.key(true)
	one, two := w.site(1), w.site(2)
	second := benched(b, i, two, "second", key, b.TempDir())
	state := b.TempDir()
	first := benched(b, i, one, "first", key, state)
	first.stop()

	f := figures{files: i.size(b)}
	began := time.Now()
	first = benched(b, i, one, "first", "", state)
	f.ready = time.Since(began)

	second.running()
	reach(b, first, one, two)
	const times = 5
	began = time.Now()
	for range times {
		first.must("tailscale status")
	}
	f.status = time.Since(began) / times
	time.Sleep(untilIdle)
	f.idle = first.memory()
	first.forgetUse()
	for i, args := range [][]string{{two.lan4}, {two.lan4, "--reverse"}, {two.lan6}} {
		began := first.cpu() + second.cpu()
		f.transfers[i].rate = throughput(b, one.host, two.host, args...)
		f.transfers[i].cpu = (first.cpu() + second.cpu() - began).Seconds() * 1e9 / transferred
	}
	f.busy, f.used = first.memory(), first.programUsed()
	return f
}

// untilIdle is how long the routers' memory is left alone before it is measured. The image's daemon returns free memory
// within this time.
const untilIdle = 30 * time.Second

// benched starts a router and waits until it is logged in. Without a key, the router uses its state. Upstream's
// daemon has no supervisor that reads the environment.
func benched(b testing.TB, i image, s site, name, key, state string) *container {
	b.Helper()
	o := options{name: name, image: i, network: s.container, state: state}
	if !i.plain {
		o.env = []string{"TS_LOGIN_SERVER=" + controlURL, "TS_AUTHKEY=" + key, "TS_ROUTES=" + s.routes, "TS_EXTRA_ARGS=--accept-routes"}
		c := startContainer(b, o)
		c.running()
		return c
	}
	o.setup = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"
	o.args = []string{"/usr/local/bin/tailscaled", "--no-logs-no-support", "--statedir=/var/lib/tailscale"}
	c := startContainer(b, o)
	eventually(b, "the daemon answers", func() bool { _, err := c.sh("tailscale status --json"); return err == nil })
	if key != "" {
		c.must("tailscale up --accept-routes --netfilter-mode=off --advertise-routes=" + s.routes + " --login-server=" + controlURL + " --auth-key=" + key)
	}
	c.running()
	return c
}

// reach waits until the hosts reach each other, on a direct path between the routers.
func reach(b testing.TB, first *container, one, two site) {
	b.Helper()
	eventually(b, "the hosts reach each other", func() bool {
		return one.host.try("ping", "-c1", "-W2", two.lan4) && one.host.try("ping", "-c1", "-W2", two.lan6)
	})
	eventually(b, "the routers find a direct path", func() bool {
		out, _ := first.sh("tailscale ping -c 1 --until-direct=false second")
		return strings.Contains(out, "via ") && !strings.Contains(out, "DERP")
	})
}

// transferred is the number of bytes of a transfer.
const transferred = 512 << 20

// throughput sends bytes to another host, or receives them from there, with iperf3. It returns the received Mbit/s.
func throughput(b testing.TB, from, to namespace, args ...string) float64 {
	b.Helper()
	server := start(b, "iperf3", nil, to.in("iperf3", "--server", "--one-off", "--forceflush")...)
	server.waitFor("Server listening")
	var report struct {
		Error string
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	out := from.command(append([]string{"iperf3", "--json", "--bytes", strconv.Itoa(transferred), "--client"}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Error != "" {
		b.Fatalf("iperf3 %q: %v\n%s\nthe other end says\n%s", args, err, out, server.log())
	}
	<-server.done
	return report.End.Received.Rate / 1e6
}
