package recipe_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// packer returns the packer's program.
func packer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pack") // the output may not be executable
	if err := os.WriteFile(program, []byte(output(t, recipe.Packer())), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// The packer recognizes the parts of a Go program for every processor. It compares what it packed with the program
// itself, so here it is enough that it uses its filters.
func TestFiltersForGoPrograms(t *testing.T) {
	pack := packer(t)
	for name, c := range map[string]struct {
		architecture, filter string
		strip                func([]byte) error
	}{
		"amd64":                   {"amd64", "GO_X86", pclntab.StripShort},
		"arm64":                   {"arm64", "GO_ARM64", pclntab.StripShort},
		"arm":                     {"arm", "GO_ARM", pclntab.StripShort},
		"amd64 with long records": {"amd64", "GO_X86", pclntab.Strip},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			program := filepath.Join(dir, "program")
			testtools.BuildFor(t, platform.Target{OS: "linux", Architecture: c.architecture}, program, "../shrink/pclntab/strip")
			content := read(t, program)
			if err := errors.Join(c.strip(content), os.WriteFile(program, content, 0o755)); err != nil {
				t.Fatal(err)
			}
			list := filepath.Join(dir, "filters.h")
			cmd := exec.CommandContext(t.Context(), pack, program, filepath.Join(dir, "packed"), list)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			used := string(read(t, list))
			for _, f := range []string{"TABLE", c.filter, "PCS"} {
				if !strings.Contains(used, fmt.Sprintf("#define HAS_%s\n", f)) {
					t.Errorf("filter %s isn't used:\n%s", f, used)
				}
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
