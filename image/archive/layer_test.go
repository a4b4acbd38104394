package archive

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var epoch = time.Unix(1_700_000_000, 0).UTC()

func TestLayerListing(t *testing.T) {
	layer, err := Layer(plant(t, sample...), epoch)
	if err != nil {
		t.Fatal(err)
	}
	got := listing(t, layer)
	want := []tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755, Size: 9},
		{Name: "bin/sh", Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: "busybox"},
		{Name: "bin.conf", Typeflag: tar.TypeReg, Mode: 0o644, Size: 35},
		{Name: "empty", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/resolv.conf", Typeflag: tar.TypeReg, Mode: 0o644, Size: 27},
		{Name: "linuxrc", Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: "/bin/busybox"},
		{Name: "root/", Typeflag: tar.TypeDir, Mode: 0o700},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "var/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "var/tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
	}
	for i := range want {
		want[i].ModTime, want[i].Format = epoch, tar.FormatUSTAR
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries differ (-want +got):\n%s", diff)
	}
}

// TestLayerDependsOnContentOnly writes the same tree twice, with differences that must not matter.
func TestLayerDependsOnContentOnly(t *testing.T) {
	one, err := Layer(plant(t, sample...), epoch)
	if err != nil {
		t.Fatal(err)
	}

	other := slices.Clone(sample)
	slices.Reverse(other)
	for i, n := range other {
		if n.mode.IsDir() {
			other[i].mode = fs.ModeDir | 0o700
		} else if n.mode&0o111 != 0 {
			other[i].mode = fs.ModeSetuid | 0o610
		} else {
			other[i].mode = 0o600
		}
	}
	root := plant(t, other...)
	// A tree copied with "cp -l" has hard links from outside.
	if err := os.Link(filepath.Join(root, "bin/busybox"), filepath.Join(t.TempDir(), "busybox")); err != nil {
		t.Fatal(err)
	}
	age(t, root)
	link := filepath.Join(t.TempDir(), "link to the tree")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	two, err := Layer(link, epoch.Add(999*time.Millisecond).In(time.FixedZone("", 3600)))
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(listing(t, one), listing(t, two)); diff != "" {
		t.Errorf("entries differ:\n%s", diff)
	}
	if a, b := digest(t, one), digest(t, two); a != b {
		t.Errorf("digests differ: %s and %s", a, b)
	}
}

func TestLayerDependsOnEachPartOfTheContent(t *testing.T) {
	base, err := Layer(plant(t, sample...), epoch)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(n *node){
		"content":     func(n *node) { n.content = "THE SHELL" },
		"execute bit": func(n *node) { n.mode = 0o644 },
		"name":        func(n *node) { n.name = "bin/toybox" },
	} {
		t.Run(name, func(t *testing.T) {
			nodes := slices.Clone(sample)
			change(&nodes[1])
			changed, err := Layer(plant(t, nodes...), epoch)
			if err != nil {
				t.Fatal(err)
			}
			if digest(t, base) == digest(t, changed) {
				t.Error("the digest stays the same")
			}
		})
	}
}

// TestLayerNames checks that names too long for USTAR survive, and that only the name is in PAX records.
func TestLayerNames(t *testing.T) {
	names := []string{
		strings.Repeat("a", 99),
		strings.Repeat("b", 101),
		strings.Repeat("c", 120) + "/" + strings.Repeat("d", 90),
		strings.Repeat("e", 200) + "/" + strings.Repeat("f", 200),
		"mit Leerzeichen",
		"é",
	}
	var nodes []node
	for _, name := range names {
		nodes = append(nodes, node{name: name, mode: 0o644})
	}
	layer, err := Layer(plant(t, nodes...), epoch)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range listing(t, layer) {
		if h.Typeflag == tar.TypeReg {
			got = append(got, h.Name)
		}
		for record := range h.PAXRecords {
			if record != "path" {
				t.Errorf("%s: there is a PAX record %q", h.Name, record)
			}
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
}

func TestLayerWritesHardLinksAsFiles(t *testing.T) {
	root := plant(t, node{name: "a", mode: 0o755, content: "program"})
	if err := os.Link(filepath.Join(root, "a"), filepath.Join(root, "b")); err != nil {
		t.Fatal(err)
	}
	layer, err := Layer(root, epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range listing(t, layer) {
		if h.Typeflag != tar.TypeReg || h.Size != 7 {
			t.Errorf("%s: type %q, size %d; want a file of 7 bytes", h.Name, h.Typeflag, h.Size)
		}
	}
}

func TestLayerTimes(t *testing.T) {
	root := plant(t, sample...)
	zero, err := Layer(root, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := Layer(root, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, zero) != digest(t, first) {
		t.Error("the zero time is not 1970")
	}
	if _, err := Layer(root, time.Unix(lastSecond, 0)); err != nil {
		t.Errorf("the last second: %v", err)
	}
	for _, bad := range []time.Time{time.Unix(-1, 0), time.Unix(lastSecond+1, 0)} {
		_, err := Layer(root, bad)
		wantError(t, err, "from 1970 to 2242")
	}
}

func TestLayerRefuses(t *testing.T) {
	t.Run("a missing tree", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "missing")
		_, err := Layer(missing, epoch)
		wantError(t, err, missing)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v does not wrap fs.ErrNotExist", err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		_, err := Layer(filepath.Join(plant(t, sample...), "empty"), epoch)
		wantError(t, err, "not a directory")
	})
	t.Run("an empty tree", func(t *testing.T) {
		_, err := Layer(t.TempDir(), epoch)
		wantError(t, err, "empty")
	})
	t.Run("a whiteout", func(t *testing.T) {
		_, err := Layer(plant(t, node{name: "etc/.wh.passwd", mode: 0o644}), epoch)
		wantError(t, err, `"etc/.wh.passwd"`)
	})
	t.Run("a socket", func(t *testing.T) {
		root := t.TempDir()
		// The full path of a socket must be short, so the socket is created by its name in the working directory.
		t.Chdir(root)
		l, err := net.Listen("unix", "control")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, err = Layer(root, epoch)
		wantError(t, err, `"control": it is a socket`)
	})
}

// listing reads a layer's headers, without the fields that are the same in all of them.
func listing(t *testing.T, layer v1.Layer) []tar.Header {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	return headers(t, content)
}

func headers(t *testing.T, r io.Reader) []tar.Header {
	t.Helper()
	var all []tar.Header
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s belongs to %d:%d (%q:%q); want 0:0 without names", h.Name, h.Uid, h.Gid, h.Uname, h.Gname)
		}
		h.ModTime = h.ModTime.UTC()
		all = append(all, *h)
	}
}

func digest(t *testing.T, layer v1.Layer) string {
	t.Helper()
	d, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that contains %q", part)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("error = %q; want it to contain %q", err, part)
	}
}
