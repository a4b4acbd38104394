package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// BenchmarkBuild builds all platforms, and then a single one, with an empty cache and again with a full one. It prints the
// duration of each stage and the size of each component.
func BenchmarkBuild(b *testing.B) {
	testtools.Require(b, local.Tools()...)
	for _, arch := range []string{"all", "arm64"} {
		b.Run(arch, func(b *testing.B) { benchmarkBuild(b, arch) })
	}
}

func benchmarkBuild(b *testing.B, arch string) {
	base, err := local.DefaultCache()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cache, err := os.MkdirTemp(filepath.Dir(base), recipe.Title+"-bench-*")
		if err != nil {
			b.Fatal(err)
		}
		cold, coldTook := timedBuild(b, arch, cache)
		warm, warmTook := timedBuild(b, arch, cache)
		b.ReportMetric(coldTook.Seconds(), "s/cold")
		b.ReportMetric(warmTook.Seconds(), "s/warm")
		// A benchmark's own log is cut after ten lines.
		fmt.Printf("\n%s\n", times(cold, warm, coldTook, warmTook))
		if arch == "all" {
			fmt.Print(sizes(b, cache))
		}
		if err := local.RemoveAll(cache); err != nil {
			b.Error(err)
		}
	}
}

// stages has the seconds of each stage.
type stages map[string]float64

func timedBuild(b *testing.B, arch, cache string) (stages, time.Duration) {
	b.Helper()
	var out, log bytes.Buffer
	began := time.Now()
	code := run(b.Context(), []string{"build", "--arch", arch, "--json", "--cache-dir", cache, "--output", b.TempDir()}, &out, &log)
	took := time.Since(began)
	if code != 0 {
		b.Fatalf("exit code %d:\n%s%s", code, out.String(), log.String())
	}
	var report struct {
		Stages []struct {
			Stage   string
			Seconds float64
		}
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		b.Fatal(err)
	}
	all := stages{}
	for _, s := range report.Stages {
		all[s.Stage] += s.Seconds
	}
	return all, took
}

func times(cold, warm stages, coldTook, warmTook time.Duration) string {
	return table(func(w *tabwriter.Writer) {
		fmt.Fprintf(w, "seconds, cold\tshared\t%s\t\n", strings.Join(platformNames(), "\t"))
		for _, s := range []string{"debian tools", "debian compilers", "features", "pack certificates", "packer", "busybox-configured",
			"musl", "busybox", "compress busybox", "tailscale", "strip tailscale", "compress tailscale"} {
			fmt.Fprintf(w, "%s\t%s", s, seconds(cold, s))
			for _, t := range platform.All() {
				fmt.Fprintf(w, "\t%s", seconds(cold, s+" "+t.Name))
			}
			fmt.Fprint(w, "\t\n")
		}
		warmStages := 0.0
		for _, s := range warm {
			warmStages += s
		}
		fmt.Fprintf(w, "the whole build, cold\t%.1f\t\nthe whole build, warm\t%.1f\t\nstages run, warm\t%.1f\t\n",
			coldTook.Seconds(), warmTook.Seconds(), warmStages)
	})
}

func seconds(s stages, title string) string {
	if v, ok := s[title]; ok {
		return fmt.Sprintf("%.1f", v)
	}
	return ""
}

// sizes returns the sizes of the components, built from the cache.
func sizes(b *testing.B, cache string) string {
	b.Helper()
	var out, log bytes.Buffer
	if code := run(b.Context(), []string{"sizes", "--cache-dir", cache}, &out, &log); code != 0 {
		b.Fatalf("exit code %d:\n%s", code, log.String())
	}
	return out.String()
}

func table(fill func(*tabwriter.Writer)) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fill(w)
	_ = w.Flush()
	return text.String()
}
