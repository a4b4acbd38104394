package endtoend

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/daemon/supervisor"
	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// dataPathSteps are the steps of testdata/datapath, each with a number of packets: enough that it doesn't matter how many
// pages of the program the first packet needs. bulk and single take the whole way through two routers in one process,
// which send UDP packets to each other.
var dataPathSteps = []struct {
	name    string
	packets int
}{{"encrypt", 4000}, {"decrypt", 4000}, {"filter", 40000}, {"batch", 51 * 100}, {"bulk", 51 * 80}, {"single", 2000}}

// BenchmarkDataPath counts the instructions that a packet takes in the code of the image and of upstream's Tailscale of
// the same release, with each one's flags and features. The processor of an emulated machine takes one nanosecond for
// each instruction, so the machine's clock counts them, those of its kernel included. The counts don't depend on this
// machine or on what else it does.
func BenchmarkDataPath(b *testing.B) {
	roots := dataPaths(b)
	for b.Loop() {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprint(table, "\ninstructions for a packet\t")
		for _, s := range dataPathSteps {
			_, _ = fmt.Fprint(table, s.name, "\t")
		}
		_, _ = fmt.Fprintln(table)
		for _, target := range platform.All() {
			var script strings.Builder
			// The first line follows what the firmware printed.
			script.WriteString("echo\n")
			for _, step := range dataPathSteps {
				fmt.Fprintf(&script, "say image-%[1]s \"$(GOGC=%[3]s GOMEMLIMIT=%[4]s /image %[1]s %[2]d)\"\nsay upstream-%[1]s \"$(/upstream %[1]s %[2]d)\"\n",
					step.name, step.packets, supervisor.Default("GOGC"), supervisor.Default("GOMEMLIMIT"))
			}
			printed := machineOf(target).run(b, roots[target.Name], []string{"PATH=/bin"}, script.String(), "-icount", "shift=0,sleep=off")
			row := func(name string, value func(step string, packets float64) string) {
				_, _ = fmt.Fprintf(table, "%s %s\t", target.Name, name)
				for _, s := range dataPathSteps {
					_, _ = fmt.Fprint(table, value(s.name, float64(s.packets)), "\t")
				}
				_, _ = fmt.Fprintln(table)
			}
			count := func(what string) float64 {
				n, err := strconv.ParseFloat(printed[what], 64)
				if err != nil {
					b.Fatalf("%s on %s: %v", what, target, err)
				}
				return n
			}
			for _, kind := range []string{"upstream", "image"} {
				row(kind, func(step string, packets float64) string { return fmt.Sprintf("%.0f", count(kind+"-"+step)/packets) })
			}
			row("ratio", func(step string, _ float64) string {
				return fmt.Sprintf("%.3f", count("image-"+step)/count("upstream-"+step))
			})
		}
		_ = table.Flush()
	}
}

//go:embed testdata/datapath/*.go
var dataPathSource embed.FS

// dataPaths returns the file systems of the machines, by platform. They have a shell and testdata/datapath, compiled in
// place of the daemon: like the image's daemon, and like upstream's.
func dataPaths(b *testing.B) map[string]string {
	b.Helper()
	testmode.Machine(b)
	c := recipe.Default()
	var err error
	if c.Applets, err = applets.Parse("the machine", strings.NewReader("ash\nip\nmount\nnc\nsh\nsleep\n")); err != nil {
		b.Fatal(err)
	}
	if err := c.Complete(); err != nil {
		b.Fatal(err)
	}
	builder, err := local.Open(b.Context(), local.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := builder.Close(); err != nil {
			b.Error(err)
		}
	})
	output := func(s recipe.Stage) string {
		path, err := builder.Output(b.Context(), s)
		if err != nil {
			b.Fatal(err)
		}
		return path
	}
	features, err := os.ReadFile(output(recipe.ResolveFeatures(c)))
	if err != nil {
		b.Fatal(err)
	}
	resolved, err := recipe.Resolve(c, string(features))
	if err != nil {
		b.Fatal(err)
	}
	c.KeepSymbols = true // otherwise, programs only start when they are stripped
	roots := map[string]string{}
	for _, target := range platform.All() {
		root := filepath.Join(b.TempDir(), target.Name)
		roots[target.Name] = root
		stage := withDataPath(b, recipe.Plan{Target: target, Config: c, Resolved: resolved}.Tailscale())
		for name, s := range map[string]recipe.Stage{
			"image": stage, "upstream": likeUpstream(stage), "bin/busybox-plain": recipe.Busybox(target, c),
		} {
			command(b, "install", "-D", "-m", "755", output(s), filepath.Join(root, name))
		}
		command(b, "sh", "-euc", `cd "$1"; mkdir dev proc run sys; ln -s busybox-plain bin/sh`, "sh", root)
	}
	return roots
}

// withDataPath returns the stage that compiles the program in place of the daemon.
func withDataPath(b *testing.B, s recipe.Stage) recipe.Stage {
	b.Helper()
	s.Name = "data path"
	s.Files = slices.Clone(s.Files)
	err := fs.WalkDir(dataPathSource, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := fs.ReadFile(dataPathSource, path)
		s.Files = append(s.Files, recipe.File{Name: "datapath/" + e.Name(), Content: string(content)})
		return err
	})
	last := len(s.Steps) - 1
	build := slices.Clone(s.Steps[last])
	daemon := slices.Index(build, "./cmd/tailscaled")
	if daemon < 0 {
		err = errors.Join(err, fmt.Errorf("the last step does not compile the daemon: %q", build))
	}
	if err != nil {
		b.Fatal(err)
	}
	build[daemon] = "./cmd/datapath"
	s.Steps = append(slices.Clone(s.Steps[:last]), []string{"cp", "-R", recipe.InDir + "/datapath", "tailscale/cmd/"}, build)
	return s
}

// likeUpstream returns a stage of withDataPath without tags, compiler flags and everything that the build changes.
func likeUpstream(s recipe.Stage) recipe.Stage {
	s.Name = "upstream's data path"
	last := len(s.Steps) - 1
	var build []string
	for i := 0; i < len(s.Steps[last]); i++ {
		switch arg := s.Steps[last][i]; arg {
		case "-tags", "-gcflags", "-overlay":
			i++
		default:
			build = append(build, arg)
		}
	}
	// The first steps download and copy the source. The data path refers to gVisor, but never calls it. Not every module
	// proxy has the version that this release requires, so it is compiled with the version of the last one. The go command
	// adds its checksums.
	s.Env = append(slices.Clone(s.Env), recipe.Variable{Name: "GOFLAGS", Value: "-mod=mod"})
	s.Steps = slices.Concat(s.Steps[:2], s.Steps[last-1:last], [][]string{
		{"go", "-C", "tailscale", "mod", "edit", "-replace", "gvisor.dev/gvisor=gvisor.dev/gvisor@" + previousGVisor}, build})
	return s
}

// previousGVisor is the version that recipe.PreviousTailscaleVersion requires.
const previousGVisor = "v0.0.0-20260224225140-573d5e7127a8"
