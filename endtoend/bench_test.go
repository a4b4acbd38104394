package endtoend

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"text/tabwriter"
)

// BenchmarkRouters sends TCP from a host of one site to one of another, through two routers that run
// the image, and again through two that run the same Tailscale as it is by itself: with all
// features, not packed. It prints both side by side.
func BenchmarkRouters(b *testing.B) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nrouters\tfiles, bytes\tmemory idle, kB\tthere, Mbit/s\tback, Mbit/s\tIPv6, Mbit/s\tmemory after, kB\t")
	for b.Loop() {
		for _, c := range []struct {
			short, name string
			image       image
		}{{"image", "this image", builtImage(b, "amd64")}, {"plain", "no tags, not packed", plainImage(b)}} {
			b.Run(c.short, func(b *testing.B) { measure(b, table, c.name, c.image) })
		}
	}
	_ = table.Flush()
}

func measure(b *testing.B, table *tabwriter.Writer, name string, i image) {
	w := newWorld(b)
	w.control.start()
	key := w.control.key(true)
	one, two := w.site(1), w.site(2)
	first := w.router(i, one, "first", "TS_AUTHKEY="+key, "TS_ROUTES="+one.routes, "TS_EXTRA_ARGS=--accept-routes")
	second := w.router(i, two, "second", "TS_AUTHKEY="+key, "TS_ROUTES="+two.routes, "TS_EXTRA_ARGS=--accept-routes")
	first.running()
	second.running()
	eventually(b, "the hosts reach each other", func() bool {
		return one.host.try("ping", "-c1", "-W2", two.lan4) && one.host.try("ping", "-c1", "-W2", two.lan6)
	})
	idle := first.memory()
	start(b, "iperf3", nil, two.host.in("iperf3", "--server", "--forceflush")...).waitFor("Server listening")
	there := throughput(b, one.host, "--client", two.lan4)
	back := throughput(b, one.host, "--client", two.lan4, "--reverse")
	six := throughput(b, one.host, "--client", two.lan6)
	fmt.Fprintf(table, "%s\t%d\t%d\t%.0f\t%.0f\t%.0f\t%d\t\n", name, i.size(b), idle, there, back, six, first.memory())
}

// throughput runs iperf3 for a while and gives the Mbit/s that arrived.
func throughput(b *testing.B, from namespace, args ...string) float64 {
	b.Helper()
	var report struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	out := from.command(append([]string{"iperf3", "--json", "--time", "8"}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		b.Fatal(err)
	}
	return report.End.Received.Rate / 1e6
}
