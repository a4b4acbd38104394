package archive

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

// TestOtherTools reads the tarball with tools that share no code with this package: umoci, and skopeo, which people
// also use to convert images for RouterOS.
func TestOtherTools(t *testing.T) {
	testtools.Require(t, local.Tool{Command: "skopeo", Package: "skopeo"}, local.Tool{Command: "umoci", Package: "umoci"})
	for _, tg := range platform.All() {
		t.Run(tg.Name, func(t *testing.T) {
			directory := t.TempDir()
			archive := filepath.Join(directory, "image.tar")
			if err := os.WriteFile(archive, save(t, sampleImage(t, tg), "mikrotik-tailscale:test"), 0o644); err != nil {
				t.Fatal(err)
			}

			var seen struct {
				Created, Architecture, Os string
				Labels                    map[string]string
				Layers                    []string
				Env                       []string
			}
			if err := json.Unmarshal(run(t, "skopeo", "inspect", "docker-archive:"+archive), &seen); err != nil {
				t.Fatal(err)
			}
			if seen.Os != tg.OS || seen.Architecture != tg.Architecture || seen.Created != "2023-11-14T22:13:20Z" || len(seen.Layers) != 1 {
				t.Errorf("skopeo sees %+v; want one layer for %s of 2023-11-14T22:13:20Z", seen, tg.Platform())
			}
			if diff := cmp.Diff(config.Labels, seen.Labels); diff != "" {
				t.Errorf("skopeo sees other labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(config.Env, seen.Env); diff != "" {
				t.Errorf("skopeo sees another environment (-want +got):\n%s", diff)
			}

			layout := filepath.Join(directory, "oci")
			run(t, "skopeo", "--insecure-policy", "copy", "docker-archive:"+archive+":mikrotik-tailscale:test", "oci:"+layout+":test")
			var file struct {
				Variant string `json:"variant"`
				Config  struct{ Entrypoint, Cmd []string }
			}
			if err := json.Unmarshal(run(t, "skopeo", "inspect", "--config", "oci:"+layout+":test"), &file); err != nil {
				t.Fatal(err)
			}
			if file.Variant != tg.Variant {
				t.Errorf("after the copy the variant is %q; want %q", file.Variant, tg.Variant)
			}
			if diff := cmp.Diff(config.Entrypoint, file.Config.Entrypoint); diff != "" {
				t.Errorf("after the copy the entrypoint differs (-want +got):\n%s", diff)
			}

			bundle := filepath.Join(directory, "bundle")
			unpack := []string{"unpack", "--image", layout + ":test", bundle}
			if os.Geteuid() != 0 {
				unpack = append([]string{"unpack", "--rootless"}, unpack[1:]...)
			}
			run(t, "umoci", unpack...)
			if diff := cmp.Diff(describe(t, plant(t, sample...)), describe(t, filepath.Join(bundle, "rootfs"))); diff != "" {
				t.Errorf("the unpacked tree differs (-want +got):\n%s", diff)
			}
		})
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%s %q: %v\n%s", name, args, err, e.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// describe returns what is at each path of a tree.
func describe(t *testing.T, root string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " " + target
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += " " + string(content)
		}
		name, err := filepath.Rel(root, path)
		all[name] = what
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
