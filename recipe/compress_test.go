package recipe

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/platform"
)

func compress(compression Compression) Stage {
	linked := Stage{Name: "strip program", Output: "program"}
	return Compress(platform.All()[3], Config{Compression: compression}, &linked)
}

// Other releases of UPX make ARM programs that crash, so the stage checks the release. Here a script replaces UPX.
func TestOnlyTheTestedUPXPacks(t *testing.T) {
	check := compress(CompressionUPX).Steps[0]
	for version, want := range map[string]string{"upx " + UPXVersion: "", "upx 4.2.40": UPXVersion, "upx 5.0.2": UPXVersion, "": UPXVersion} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "upx"), []byte("#!/bin/sh\necho '"+version+"'\necho more\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), check[0], check[1:]...)
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		if (err == nil) != (want == "") || !strings.Contains(string(out), want) || err != nil && !strings.Contains(string(out), version) {
			t.Errorf("with %q: %v\n%s", version, err, out)
		}
	}
}

func TestHowProgramsArePacked(t *testing.T) {
	for compression, want := range map[Compression][]string{
		CompressionNone:     {"cp /in/binary /out/binary"},
		CompressionUPX:      {"install -m 755 /in/binary binary", "upx -qq --lzma --best -o /out/binary binary", "upx -qq -t /out/binary"},
		CompressionLauncher: {"./pack /in/binary payload filters.h"},
	} {
		s := compress(compression)
		var steps []string
		for _, step := range s.Steps {
			steps = append(steps, strings.Join(step, " "))
		}
		for _, step := range want {
			if !slices.Contains(steps, step) {
				t.Errorf("%s has no step %q", compression, step)
			}
		}
		if s.Title() != "compress program armv5" || s.Output != "binary" || s.Network || s.Base != BaseDebian || s.Inputs[0].Name != "binary" || s.Inputs[0].Stage.Output != "program" {
			t.Errorf("the stage is %+v", s)
		}
		if last := s.Steps[len(s.Steps)-1]; compression == CompressionLauncher {
			for _, want := range []string{"-Wall", "-Wextra", "-Werror", "program", "-march=armv5te"} {
				if !slices.Contains(last, want) {
					t.Errorf("the launcher is compiled without %s: %q", want, last)
				}
			}
		}
	}
	if s := Compress(platform.All()[0], Config{Compression: CompressionNone}, nil); s.Name != "compress" || s.Inputs[0].Stage != nil {
		t.Errorf("the stage for a user's own file is %+v", s)
	}
}
