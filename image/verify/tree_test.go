package verify

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plant writes a tree of files. If the content starts with "->", it writes a symbolic link.
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
		"root-directory":    "->/",
		"etc/mtab":          "->/proc/self/mounts",
		"etc/tty":           "->../dev/console",
		"etc/leds":          "->/sys/class/leds",
		"etc/name":          "->hostname",
		"etc/names":         "->hosts",
		"etc/resolver":      "->/run/resolv.conf",
		"etc/dnsmasq":       "->resolv.conf",
		"var/run":           "->../run",
		"usr/bin/socket":    "->/var/run/tailscale/socket",
		"root/scratch":      "->/tmp/scratch/file",
		"root/state":        "->../var/lib/tailscale/own",
		"root/states":       "->../var/lib/tailscale",
		"var/lib/keep":      "",
		"etc/short":         "ELF",
		"etc/empty":         "",
		"etc/script":        "#!/bin/sh\n",
		"usr/bin/tailscale": binary,
	})
	if err := Tree(root, target(t, "arm"), "/var/lib/tailscale/"); err != nil {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link to the tree")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	if err := Tree(link, target(t, "arm"), "/var/lib/tailscale"); err != nil {
		t.Error(err)
	}
}

func TestTreeProblems(t *testing.T) {
	root := plant(t, map[string]string{
		"bin/busybox":       string(fake{}.bytes()),
		"bin/old":           string(fake{flags: 0x04000000}.bytes()),
		"bin/cut":           "\x7fELF",
		"bin.dangling":      "->bin/none",
		"bin/circle":        "->../circle",
		"circle":            "->/bin/circle",
		"bin/up":            "->../../etc/passwd",
		"bin/through-file":  "->busybox/x",
		"etc/not-proc":      "->/procfs",
		"etc/no-volume":     "->/var/lib/other/x",
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
		`bin/old: has version 4 of the ARM EABI, but arm needs 5`,
		`bin/through-file: links to "busybox/x", but the tree has no bin/busybox/x`,
		`bin/up: links to "../../etc/passwd", which leads out of the tree`,
		`circle: links to "/bin/circle", which never ends at a file: the links go in a circle`,
		`etc/no-volume: links to "/var/lib/other/x", but the tree has no var`,
		`etc/not-proc: links to "/procfs", but the tree has no procfs`,
		`usr/bin/far/away: links to "../../../../bin/busybox", which leads out of the tree`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("problems differ (-want +got):\n%s", diff)
	}
}

func TestTreeWithoutBinary(t *testing.T) {
	root := plant(t, map[string]string{"etc/hosts": "127.0.0.1 localhost\n"})
	wantError(t, Tree(root, target(t, "arm")), root, "contains no ELF binary")
}

func TestAPartOfATreeNeedsNoBinary(t *testing.T) {
	root := plant(t, map[string]string{"etc/hosts": "127.0.0.1 localhost\n"})
	if err := Part(root, target(t, "arm")); err != nil {
		t.Error(err)
	}
	root = plant(t, map[string]string{"bin/cut": elf.ELFMAG, "bin/up": "->../../x"})
	err := Part(root, target(t, "arm"))
	if err == nil || !strings.Contains(err.Error(), "bin/cut: cannot be read") || !strings.Contains(err.Error(), "bin/up: links to") {
		t.Errorf("error = %v; want the error of the binary and the error of the link", err)
	}
}

func TestProgram(t *testing.T) {
	root := plant(t, map[string]string{
		"bin/own": "#!/bin/sh\n", "bin/link": "->/sbin/own", "sbin": "->bin", "bin/dangling": "->nowhere", "bin/up": "->../../x",
		"bin/circle": "->circle", "etc/motd": "hello",
	})
	if err := os.Chmod(filepath.Join(root, "etc/motd"), 0o644); err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{
		"/bin/own": "", "/sbin/own": "", "/bin/link": "", "//bin/./own": "", "/var/lib/tailscale/own": "the tree has no var",
		"/state/own": "", "/run/own": "", "/bin/none": "the tree has no bin/none", "/bin/dangling": "the tree has no bin/nowhere",
		"/bin/up": "leads out of the tree", "/bin/circle": "go in a circle", "/etc/motd": "not an executable file",
		"/bin": "not an executable file", "/": "not an executable file", "/etc/motd/x": "the tree has no etc/motd/x",
	} {
		err := Program(root, program, "/state")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the program is "+program)) {
			t.Errorf("%s: error = %v; want it to contain %q", program, err, want)
		}
	}
}

func TestTreeMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if err := Tree(missing, target(t, "arm")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("error = %v; want fs.ErrNotExist with the path", err)
	}
}
