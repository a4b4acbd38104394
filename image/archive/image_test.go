package archive

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"dagger/mikrotik-tailscale/platform"
)

var config = v1.Config{
	Entrypoint: []string{"/bin/sh", "/entrypoint"},
	Cmd:        []string{"up"},
	Env:        []string{"PATH=/bin", "TS_STATE_DIR=/state", "EMPTY="},
	WorkingDir: "/root",
	Volumes:    map[string]struct{}{"/state": {}, "/logs": {}},
	Labels:     map[string]string{"b": "2", "a": "1"},
}

func target(t *testing.T, name string) platform.Target {
	t.Helper()
	found, err := platform.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func sampleImage(t *testing.T, tg platform.Target) v1.Image {
	t.Helper()
	layer, err := Layer(plant(t, sample...), epoch)
	if err != nil {
		t.Fatal(err)
	}
	img, err := Image(layer, tg, config, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestImageConfig(t *testing.T) {
	raw, err := sampleImage(t, target(t, "armv5")).RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{
		"os": "linux",
		"architecture": "arm",
		"variant": "v5",
		"created": "2023-11-14T22:13:20Z",
		"config": {
			"Entrypoint": ["/bin/sh", "/entrypoint"],
			"Cmd": ["up"],
			"Env": ["PATH=/bin", "TS_STATE_DIR=/state", "EMPTY="],
			"WorkingDir": "/root",
			"Volumes": {"/logs": {}, "/state": {}},
			"Labels": {"a": "1", "b": "2"}
		},
		"history": [{"created": "2023-11-14T22:13:20Z", "created_by": "mikrotik-tailscale"}],
		"rootfs": {
			"type": "layers",
			"diff_ids": ["sha256:31a8516959ad3e3edeb418e4a95dfce666b6af2f86a6ce3422d227b482faa9b7"]
		}
	}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the configuration differs (-want +got):\n%s", diff)
	}
}

func TestImagePlatforms(t *testing.T) {
	for _, tg := range platform.All() {
		t.Run(tg.Name, func(t *testing.T) {
			file, err := sampleImage(t, tg).ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if got := file.Platform().String(); got != tg.Platform() {
				t.Errorf("the platform is %s; want %s", got, tg.Platform())
			}
		})
	}
}

func TestImageCreatedByDefault(t *testing.T) {
	layer, err := Layer(plant(t, sample...), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := Image(layer, target(t, "arm64"), v1.Config{Cmd: []string{"/bin/sh"}}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Created.Time; !got.Equal(time.Unix(0, 0)) {
		t.Errorf("created at %s; want 1970", got)
	}
}

// TestImageForRegistry pushes the image the way a registry gets it: with a compressed layer, through an OCI layout.
// The library's validation reads every layer through gzip, so it can't read an image with an uncompressed layer.
func TestImageForRegistry(t *testing.T) {
	plain, err := Layer(plant(t, sample...), epoch)
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := tarball.LayerFromOpener(plain.Uncompressed)
	if err != nil {
		t.Fatal(err)
	}
	img, err := Image(compressed, target(t, "arm"), config, epoch)
	if err != nil {
		t.Fatal(err)
	}
	directory, err := layout.Write(t.TempDir(), mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img}))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := directory.Image(sum)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pushed); err != nil {
		t.Error(err)
	}
	got, err := pushed.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	want, err := sampleImage(t, target(t, "arm")).ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the image's ID is %s; want %s, as with the plain layer", got, want)
	}
}

func TestImageRefuses(t *testing.T) {
	layer, err := Layer(plant(t, sample...), epoch)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(c *v1.Config)
		want   string
	}{
		"nothing to start":             {func(c *v1.Config) { c.Entrypoint, c.Cmd = nil, nil }, "neither an entrypoint nor a command"},
		"a variable with no value":     {func(c *v1.Config) { c.Env = []string{"TS_ROUTES"} }, `"TS_ROUTES"`},
		"a variable with no name":      {func(c *v1.Config) { c.Env = []string{"=1"} }, `"=1"`},
		"a variable twice":             {func(c *v1.Config) { c.Env = []string{"A=1", "A=2"} }, "A is set twice"},
		"a relative working directory": {func(c *v1.Config) { c.WorkingDir = "root" }, `"root"`},
		"a relative volume":            {func(c *v1.Config) { c.Volumes = map[string]struct{}{"state": {}} }, `"state"`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := config
			c.change(&bad)
			_, err := Image(layer, target(t, "arm"), bad, epoch)
			wantError(t, err, c.want)
			wantError(t, err, "arm")
		})
	}
	_, err = Image(layer, target(t, "arm"), config, time.Unix(-1, 0))
	wantError(t, err, "1969-12-31T23:59:59Z")
}
