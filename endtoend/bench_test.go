package endtoend

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// BenchmarkRouters compares routers that run the image with routers that run upstream's Tailscale, unpacked and with
// all features. Everything else is the same. The rounds alternate, so that other work on the machine shows as a
// difference between rounds.
func BenchmarkRouters(b *testing.B) {
	images := []struct {
		name  string
		image image
	}{{"image", builtImage(b, "amd64")}, {"plain", plainImage(b)}}
	for b.Loop() {
		var all []figures
		for round := 1; round <= 2; round++ {
			for _, i := range images {
				b.Run(fmt.Sprintf("%s-%d", i.name, round), func(b *testing.B) {
					f := measure(b, i.image)
					f.name = b.Name()
					all = append(all, f)
				})
			}
		}
		printFigures(all)
	}
}

// figures are the measurements of one router.
type figures struct {
	name             string
	files            int64
	ready, status    time.Duration
	idle, busy       memory
	there, back, six float64 // Mbit/s
}

func printFigures(all []figures) {
	// A benchmark's own log is cut after ten lines.
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\nrouter\tfiles, bytes\tready, s\tstatus, ms\tRSS, kB\tunreclaimable, kB\tthere, Mbit/s\tback, Mbit/s\tIPv6, Mbit/s\tRSS after\tunreclaimable after\t")
	for _, f := range all {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%.1f\t%d\t%d\t%d\t%.0f\t%.0f\t%.0f\t%d\t%d\t\n", strings.TrimPrefix(f.name, "BenchmarkRouters/"), f.files,
			f.ready.Seconds(), f.status.Milliseconds(), f.idle.daemon, f.idle.unreclaimable, f.there, f.back, f.six, f.busy.daemon, f.busy.unreclaimable)
	}
	_ = table.Flush()
}

// measure starts two routers, the first of them twice, and sends TCP between hosts of both sites.
func measure(b *testing.B, i image) figures {
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
	f.idle = first.memory()
	f.there = throughput(b, one.host, two.host, "--client", two.lan4)
	f.back = throughput(b, one.host, two.host, "--client", two.lan4, "--reverse")
	f.six = throughput(b, one.host, two.host, "--client", two.lan6)
	f.busy = first.memory()
	return f
}

// benched starts a router and waits until it is logged in. Without a key, the router uses its state. Upstream's
// daemon has no supervisor that reads the environment.
func benched(b *testing.B, i image, s site, name, key, state string) *container {
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
func reach(b *testing.B, first *container, one, two site) {
	b.Helper()
	eventually(b, "the hosts reach each other", func() bool {
		return one.host.try("ping", "-c1", "-W2", two.lan4) && one.host.try("ping", "-c1", "-W2", two.lan6)
	})
	eventually(b, "the routers find a direct path", func() bool {
		out, _ := first.sh("tailscale ping -c 1 --until-direct=false second")
		return strings.Contains(out, "via ") && !strings.Contains(out, "DERP")
	})
}

// throughput runs iperf3 between two hosts for a while and returns the received Mbit/s.
func throughput(b *testing.B, from, to namespace, args ...string) float64 {
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
	out := from.command(append([]string{"iperf3", "--json", "--time", "8"}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Error != "" {
		b.Fatalf("iperf3 %q: %v\n%s\nthe other end printed\n%s", args, err, out, server.log())
	}
	<-server.done
	return report.End.Received.Rate / 1e6
}
