package recipe

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
)

// sourceTexts returns the texts in the archive, by path.
func sourceTexts(t *testing.T, c Config, targets ...platform.Target) map[string]string {
	t.Helper()
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range CorrespondingSource(targets, c).Files {
		_, path, _ := strings.Cut(f.Name, "/")
		all[path] = f.Content
	}
	return all
}

func TestTheScriptsRunTheStepsOfTheBuild(t *testing.T) {
	c := Default()
	all := sourceTexts(t, c, platform.All()...)
	for _, target := range platform.All() {
		script := all["rebuild-"+target.Name+".sh"]
		check := exec.CommandContext(t.Context(), "sh", "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", target, err, out)
		}
		at := 0
		for _, s := range []Stage{ConfiguredBusybox(c), Musl(target, c), Busybox(target, c), Packer(), PackedBusybox(target, c)} {
			for _, step := range s.Steps {
				last := quoted(step[len(step)-1])
				found := strings.Index(script[at:], last)
				if found < 0 {
					t.Fatalf("%s: the script lacks a step of %s, or has it too early: %q", target, s.Title(), step)
				}
				at += found
			}
			for _, f := range s.Files {
				if all[dashed(s.Name)+"/"+f.Name] != f.Content {
					t.Errorf("%s: %s has another %s", target, s.Title(), f.Name)
				}
			}
		}
	}
	if !strings.Contains(all["README.txt"], c.BusyboxVersion) || all["packages.lock"] != packagesLock {
		t.Error("the archive lacks versions")
	}
}

func TestTheArchiveHasTheSourcesOfTheConfigurationAlone(t *testing.T) {
	for compression, want := range map[Compression][]string{
		CompressionLauncher: {"7zip.tar", "busybox.tar.bz2", "musl.tar.gz"},
		CompressionUPX:      {"busybox.tar.bz2", "musl.tar.gz"},
		CompressionNone:     {"busybox.tar.bz2", "musl.tar.gz"},
	} {
		c := Default()
		c.Compression = compression
		var got []string
		for _, in := range CorrespondingSource(platform.All()[:1], c).Inputs {
			got = append(got, in.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: sources %v; want %v", compression, got, want)
		}
		readme := sourceTexts(t, c, platform.All()[0])["README.txt"]
		if strings.Contains(readme, "7-Zip") != (compression == CompressionLauncher) || strings.Contains(readme, "upx-ucl") != (compression == CompressionUPX) {
			t.Errorf("%s: README.txt has other programs:\n%s", compression, readme)
		}
	}
}

func TestWordsAreQuotedForTheShell(t *testing.T) {
	for _, word := range []string{"", "plain", "two words", "it's", "$HOME", "a\nb", `back\slash`, "*"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quoted(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q becomes %q (%v)", word, out, err)
		}
	}
}
