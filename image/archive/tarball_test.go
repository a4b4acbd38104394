package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"dagger/mikrotik-tailscale/platform"
)

// These values change if the bytes of an image change. Update them only after an intended change, and mention it in
// the release notes: users' images then differ although their content is the same.
const (
	goldenID       = "7f00e9d10256726072614c35e5fbb70acd23016bca1cf7d423b5916be6c44220"
	goldenLayer    = "50f76c58828ba9a5df50839a463d2216813af6a084aa781b4b0faea234d94ddc"
	goldenChecksum = "bb08e78e8164872b2d46867917a7500b3fdab07f5a0958fe058a860b0a6b9e77"
)

func TestTarballGolden(t *testing.T) {
	got := save(t, sampleImage(t, target(t, "arm")), "mikrotik-tailscale:arm")

	var names []string
	for _, h := range headers(t, bytes.NewReader(got)) {
		names = append(names, h.Name)
		if h.Typeflag != tar.TypeReg || h.Mode != 0o644 || h.Format != tar.FormatUSTAR || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s: type %q, mode %o, format %s, time %s; want a USTAR file, 644, of 1970", h.Name, h.Typeflag, h.Mode, h.Format, h.ModTime)
		}
	}
	want := []string{
		goldenID + ".json",
		goldenLayer + "/layer.tar",
		goldenLayer + "/json",
		goldenLayer + "/VERSION",
		"manifest.json",
		"repositories",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
	sum := sha256.Sum256(got)
	if sum := hex.EncodeToString(sum[:]); sum != goldenChecksum {
		t.Errorf("the checksum is %s; want %s", sum, goldenChecksum)
	}
}

func TestTarballManifest(t *testing.T) {
	files := contents(t, save(t, sampleImage(t, target(t, "arm")), "mikrotik-tailscale:arm"))
	var manifest, repositories any
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(files["repositories"], &repositories); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{map[string]any{
		"Config":   goldenID + ".json",
		"RepoTags": []any{"mikrotik-tailscale:arm"},
		"Layers":   []any{goldenLayer + "/layer.tar"},
	}}, manifest); diff != "" {
		t.Errorf("manifest.json differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"mikrotik-tailscale": map[string]any{"arm": goldenLayer}}, repositories); diff != "" {
		t.Errorf("repositories differs (-want +got):\n%s", diff)
	}
}

func TestTarballReadBack(t *testing.T) {
	for _, tg := range platform.All() {
		t.Run(tg.Name, func(t *testing.T) {
			img := sampleImage(t, tg)
			path := filepath.Join(t.TempDir(), "image.tar")
			if err := os.WriteFile(path, save(t, img, "example.org:5000/router/tailscale"), 0o644); err != nil {
				t.Fatal(err)
			}
			latest := tag(t, "example.org:5000/router/tailscale:latest")
			got, err := tarball.ImageFromPath(path, &latest)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(got); err != nil {
				t.Error(err)
			}
			wantFile, err := img.RawConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			gotFile, err := got.RawConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(gotFile, wantFile) {
				t.Errorf("the configuration is %s; want %s", gotFile, wantFile)
			}
		})
	}
}

func TestTarballSameBytes(t *testing.T) {
	one := save(t, sampleImage(t, target(t, "arm64")), "a:b")
	two := save(t, sampleImage(t, target(t, "arm64")), "a:b")
	if !bytes.Equal(one, two) {
		t.Error("two runs differ")
	}
}

func TestTarballRefusesNoTag(t *testing.T) {
	err := WriteTarball(io.Discard, sampleImage(t, target(t, "arm")), name.Tag{})
	wantError(t, err, "naming the image")
}

// TestTarballReportsEveryWriteError lets the writer fail early, in the middle and in the very last block, which the
// library writes without checking the result.
func TestTarballReportsEveryWriteError(t *testing.T) {
	img := sampleImage(t, target(t, "arm"))
	size := len(save(t, img, "a:b"))
	for _, room := range []int{0, 1, size / 2, size - 1024, size - 1} {
		if err := WriteTarball(&small{room}, img, tag(t, "a:b")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("with room for %d of %d bytes the error is %v; want ENOSPC", room, size, err)
		}
	}
	if err := WriteTarball(&small{size}, img, tag(t, "a:b")); err != nil {
		t.Errorf("with enough room: %v", err)
	}
}

// small is a disk with little room.
type small struct{ room int }

func (s *small) Write(p []byte) (int, error) {
	if len(p) > s.room {
		n := s.room
		s.room = 0
		return n, syscall.ENOSPC
	}
	s.room -= len(p)
	return len(p), nil
}

func tag(t *testing.T, s string) name.Tag {
	t.Helper()
	parsed, err := name.NewTag(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func save(t *testing.T, img v1.Image, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteTarball(&b, img, tag(t, s)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func contents(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for tr := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}
