package verify

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plant makes a tree of files and, where the content starts with "->", of symbolic links.
func plant(t *testing.T, nodes map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range nodes {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, isLink := strings.CutPrefix(content, "->"); isLink {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTree(t *testing.T) {
	binary := string(fake{}.bytes())
	root := plant(t, map[string]string{
		"bin/busybox":       binary,
		"bin/sh":            "->busybox",
		"usr/bin/env":       "->../../bin/busybox",
		"sbin":              "->bin",
		"usr/sbin/ip":       "->/sbin/sh",
		"init":              "->./bin//sh",
		"here":              "->.",
		"root-folder":       "->/",
		"etc/mtab":          "->/proc/self/mounts",
		"etc/tty":           "->../dev/console",
		"etc/short":         "ELF",
		"etc/empty":         "",
		"etc/script":        "#!/bin/sh\n",
		"usr/bin/tailscale": binary,
	})
	if err := Tree(root, target(t, "arm")); err != nil {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link to the tree")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	if err := Tree(link, target(t, "arm")); err != nil {
		t.Error(err)
	}
}

func TestTreeProblems(t *testing.T) {
	root := plant(t, map[string]string{
		"bin/busybox":       string(fake{}.bytes()),
		"bin/soft":          string(fake{flags: armEABI5 | armSoftFloat}.bytes()),
		"bin/cut":           "\x7fELF",
		"bin.dangling":      "->bin/none",
		"bin/circle":        "->../circle",
		"circle":            "->/bin/circle",
		"bin/up":            "->../../etc/passwd",
		"bin/through-file":  "->busybox/x",
		"etc/not-proc":      "->/procfs",
		"usr/bin/far/away":  "->../../../../bin/busybox",
		"usr/bin/far/close": "->../../../bin/busybox",
	})
	err := Tree(root, target(t, "arm"))
	if err == nil {
		t.Fatal("there is no error")
	}
	want := []string{
		`bin.dangling: links to "bin/none", but the tree has no bin/none`,
		`bin/circle: links to "../circle", which never ends at a file: the links go in a circle`,
		`bin/cut: cannot be read as the ELF binary that arm needs: EOF`,
		`bin/soft: is for soft float, but arm needs hard float`,
		`bin/through-file: links to "busybox/x", but the tree has no bin/busybox/x`,
		`bin/up: links to "../../etc/passwd", which leads out of the tree`,
		`circle: links to "/bin/circle", which never ends at a file: the links go in a circle`,
		`etc/not-proc: links to "/procfs", but the tree has no procfs`,
		`usr/bin/far/away: links to "../../../../bin/busybox", which leads out of the tree`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("problems differ (-want +got):\n%s", diff)
	}
}

func TestTreeWithoutBinary(t *testing.T) {
	root := plant(t, map[string]string{"etc/hosts": "127.0.0.1 localhost\n"})
	wantError(t, Tree(root, target(t, "arm")), root, "holds no ELF binary")
}

func TestTreeMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if err := Tree(missing, target(t, "arm")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("the error is %v; want fs.ErrNotExist and the path in it", err)
	}
}
