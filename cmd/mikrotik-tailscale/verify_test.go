package main

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/image/reproduce"
	"dagger/mikrotik-tailscale/image/signing/signingtest"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

func verifyJSON(t *testing.T, want int, args ...string) reproduce.Result {
	t.Helper()
	stdout, stderr, code := call(t, append([]string{"verify", "--json"}, args...)...)
	if code != want {
		t.Fatalf("exit code %d; want %d\n%s%s", code, want, stdout, stderr)
	}
	var r reproduce.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// publicKey returns the public key of a key from signingKey, like cosign.pub.
func publicKey(t *testing.T, private *ecdsa.PrivateKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cosign.pub")
	if err := os.WriteFile(path, []byte(signingtest.PublicPEM(t, &private.PublicKey)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAPublishedImageIsVerified(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	dockerLogin(t, "", "", "")
	registry := testregistry.Start(t, "", "", false)
	private, key := newSigningKey(t, registrySecret)
	t.Setenv("KEY_PASSWORD", registrySecret)
	public := publicKey(t, private)
	pushed := publishJSON(t, "--address", registry+"/good", "--tags", "stable", "--arch", "arm,armv5",
		"--revision", "3", "--signing-key", "file://"+key, "--signing-password", "env://KEY_PASSWORD")

	for _, args := range [][]string{
		{"--address", pushed.Reference, "--key", public},
		{"--address", registry + "/good:stable"},
	} {
		r := verifyJSON(t, 0, args...)
		if !r.Reproduced || r.Signed != slices.Contains(args, "--key") || r.Builder != attest.BuilderCommand || r.Index == nil || r.Index.Rebuilt != pushed.Digest || len(r.Images) != 2 {
			t.Errorf("%v: %+v", args, r)
		}
		for i, image := range pushed.Images {
			if r.Images[i].Rebuilt != image.Digest || r.Images[i].Platform != image.ContainerPlatform {
				t.Errorf("%v: %+v; want the digest %s", args, r.Images[i], image.Digest)
			}
		}
	}
	if r := verifyJSON(t, 0, "--address", pushed.Reference, "--arch", "armv5"); len(r.Images) != 1 || r.Index != nil {
		t.Errorf("for one platform: %+v", r)
	}

	other, _ := newSigningKey(t, registrySecret)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no address":            {nil, exitUsage, "no address: want --address"},
		"malformed address":     {[]string{"--address", "tailscale"}, exitUsage, `malformed address "tailscale"`},
		"another key":           {[]string{"--address", pushed.Reference, "--key", publicKey(t, other)}, exitFailure, "no provenance that is signed with this key is attached to the index"},
		"a private key":         {[]string{"--address", pushed.Reference, "--key", key}, exitUsage, "the public key is PEM of the type"},
		"an absent key":         {[]string{"--address", pushed.Reference, "--key", "/absent/key"}, exitUsage, "reading --key: open /absent/key"},
		"an absent platform":    {[]string{"--address", pushed.Reference, "--arch", "amd64"}, exitUsage, "has no image for some of the platforms"},
		"the image of one":      {[]string{"--address", registry + "/good:stable-arm"}, exitFailure, "it is the image of one platform"},
		"files that are not in": {[]string{"--address", pushed.Reference, "--extra", t.TempDir() + "/.."}, exitUsage, "the image was published without additional files"},
		"only a user":           {[]string{"--address", pushed.Reference, "--username", "me"}, exitUsage, "has no password"},
	} {
		stdout, stderr, code := call(t, append([]string{"verify"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, standard output %q; the error does not say %q:\n%s", name, code, stdout, c.want, stderr)
		}
	}

	// An attacker changes a byte of a program, and copies all attachments of the original index, with changed
	// digests.
	changed := republish(t, registry+"/bad:stable", pushed, func(img v1.Image) v1.Image {
		return changedLayer(t, img, func(name string, content []byte) {
			if name == "usr/local/bin/tailscaled" {
				content[len(content)/2] ^= 1
			}
		})
	}, func(text string) string { return text })
	r := verifyJSON(t, exitFailure, "--address", changed)
	if r.Reproduced || r.Index.Same || r.Images[0].Same || len(r.Images[0].Differences) != 1 || !strings.HasPrefix(r.Images[0].Differences[0], "/usr/local/bin/tailscaled is published as ") {
		t.Errorf("a changed byte: %+v", r)
	}
	stdout, stderr, code := call(t, "verify", "--address", changed)
	if code != exitFailure || !strings.Contains(stdout, "DIFFERENT") || !strings.Contains(stdout, "The published image differs from the one built from its provenance") {
		t.Errorf("a changed byte: exit code %d\n%s%s", code, stdout, stderr)
	}

	// The provenance of another image, and one with another configuration.
	same := func(img v1.Image) v1.Image { return img }
	untold := republish(t, registry+"/other:stable", pushed, same, func(text string) string {
		return strings.Replace(text, `"revision": 3`, `"revision": 4`, 1)
	})
	if r := verifyJSON(t, exitFailure, "--address", untold); r.Reproduced || !strings.Contains(strings.Join(r.Images[0].Differences, "\n"), "org.opencontainers.image.version is published as") {
		t.Errorf("another provenance: %+v", r)
	}
	// Different steps with the same bytes only result in a warning.
	steps := republish(t, registry+"/steps:stable", pushed, same, func(text string) string {
		return strings.Replace(text, "KCONFIG_NOTIMESTAMP", "KCONFIG_TIMESTAMP", 1)
	})
	if _, stderr, code := call(t, "verify", "--address", steps); code != 0 || !strings.Contains(stderr, `stage "busybox-configured" has other env here`) {
		t.Errorf("other steps: exit code %d\n%s", code, stderr)
	} else if n := strings.Count(stderr, "features: cached"); n != 1 {
		t.Errorf("the features were resolved %d times:\n%s", n, stderr)
	}
	newer := republish(t, registry+"/newer:stable", pushed, same, func(text string) string {
		return strings.Replace(text, `"revision": 3`, `"revision": 3, "brotli": true`, 1)
	})
	if _, stderr, code := call(t, "verify", "--address", newer); code != exitFailure || !strings.Contains(stderr, `unknown field "brotli": the image was published by another version of this program`) {
		t.Errorf("an unknown field: exit code %d\n%s", code, stderr)
	}
}

func TestVerifyingNeedsThePublishersFiles(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	dockerLogin(t, "", "", "")
	extra := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(extra, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("motd", "hello\n")
	address := testregistry.Start(t, "", "", false) + "/x"
	pushed := publishJSON(t, "--address", address, "--arch", "arm", "--extra", extra)
	if r := verifyJSON(t, 0, "--address", pushed.Reference, "--extra", extra); !r.Reproduced {
		t.Errorf("%+v", r)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if _, stderr, code := call(t, append([]string{"verify", "--address", pushed.Reference}, args...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d; the error does not say %q:\n%s", code, want, stderr)
		}
	}
	without := "the publisher added files whose content the provenance does not have: pass a directory that has them with --extra:\n  /motd sha256:"
	refused(without)
	write("more", "")
	refused("has files that the image was published without: it must have /motd and nothing else", "--extra", extra)
	write("motd", "changed\n")
	refused(without, "--extra", extra)
}

// republish pushes changed images of a release with its provenance, changed to describe the new digest.
func republish(t *testing.T, to string, from published, change func(v1.Image) v1.Image, reword func(string) string) string {
	t.Helper()
	source, err := publish.NewSource(from.Reference, "", "", true)
	if err != nil {
		t.Fatal(err)
	}
	good, err := publish.Pull(t.Context(), source, []string{attest.ProvenanceType}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range good.Images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: change(i.Image), Descriptor: v1.Descriptor{Platform: &v1.Platform{
			OS: i.Target.OS, Architecture: i.Target.Architecture, Variant: i.Target.Variant,
		}}})
	}
	c := recipe.Default()
	c.Revision = 3
	index = mutate.Annotations(index, recipe.Annotations(c)).(v1.ImageIndex)
	if err := remote.WriteIndex(reference, index); err != nil {
		t.Fatal(err)
	}
	subject, err := partial.Descriptor(index)
	if err != nil {
		t.Fatal(err)
	}
	text := reword(strings.ReplaceAll(good.Attached[0].Text, good.Digest, subject.Digest.Hex))
	attachment := mutate.MediaType(mutate.ConfigMediaType(empty.Image, attest.ProvenanceType), types.OCIManifestSchema1)
	attachment, err = mutate.AppendLayers(attachment, static.NewLayer([]byte(text), attest.ProvenanceType))
	if err != nil {
		t.Fatal(err)
	}
	attachment = mutate.Subject(attachment, *subject).(v1.Image)
	digest, err := attachment.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference.Context().Digest(digest.String()), attachment); err != nil {
		t.Fatal(err)
	}
	return to
}

// changedLayer changes the files of an image's only layer.
func changedLayer(t *testing.T, img v1.Image, change func(name string, content []byte)) v1.Image {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	in, w := tar.NewReader(plain), tar.NewWriter(&out)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		change(header.Name, content)
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), plain.Close()); err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.RootFS.DiffIDs, config.History = nil, nil
	packed, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), config)
	if err != nil {
		t.Fatal(err)
	}
	layer := static.NewLayer(out.Bytes(), types.OCIUncompressedLayer)
	whole, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if packed, err = mutate.Append(packed, mutate.Addendum{Layer: layer, History: whole.History[0]}); err != nil {
		t.Fatal(err)
	}
	return packed
}
