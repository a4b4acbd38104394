package archive

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// node is a directory, a symbolic link or a file in a test's tree.
type node struct {
	name    string
	mode    fs.FileMode
	target  string
	content string
}

// sample is a small image with programs, absolute and relative links, and every directory that has a mode of its own.
var sample = []node{
	{name: "bin", mode: fs.ModeDir | 0o755},
	{name: "bin/busybox", mode: 0o755, content: "the shell"},
	{name: "bin/sh", target: "busybox"},
	{name: "bin.conf", mode: 0o644, content: "sorts before bin/ as a plain string"},
	{name: "empty", mode: 0o644},
	{name: "etc", mode: fs.ModeDir | 0o755},
	{name: "etc/resolv.conf", mode: 0o644, content: "nameserver 100.100.100.100\n"},
	{name: "linuxrc", target: "/bin/busybox"},
	{name: "root", mode: fs.ModeDir | 0o700},
	{name: "tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
	{name: "var", mode: fs.ModeDir | 0o755},
	{name: "var/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
}

// plant creates the nodes in a new directory, in the given order.
func plant(t *testing.T, nodes ...node) string {
	t.Helper()
	root := t.TempDir()
	for _, n := range nodes {
		path := filepath.Join(root, n.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case n.target != "":
			err = os.Symlink(n.target, path)
		case n.mode.IsDir():
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(n.content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if n.target == "" {
			if err := os.Chmod(path, n.mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// age sets a different time on everything below root, as a slow copy would.
func age(t *testing.T, root string) {
	t.Helper()
	when := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() == fs.ModeSymlink {
			return err
		}
		when = when.Add(time.Hour)
		return os.Chtimes(path, when, when)
	})
	if err != nil {
		t.Fatal(err)
	}
}
