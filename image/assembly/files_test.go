package assembly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// check checks an extra directory for all platforms, and fails if anything is left behind.
func check(t *testing.T, extra string, entrypoint ...string) error {
	t.Helper()
	c := recipe.Default()
	c.Entrypoint = entrypoint
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	err := CheckFiles(extra, platform.All(), c, work)
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return err
}

func TestAnExtraDirectoryThatFits(t *testing.T) {
	extra := plant(t, map[string]string{
		"etc/motd": "hello\n", "bin/own": "#!/bin/sh\n", "usr/bin/sh": "-> /bin/sh", "usr/bin/tailscale": "-> ../local/bin/tailscale",
		"etc/resolver": "-> /run/resolv.conf", "etc/state": "-> /var/lib/tailscale/own",
	})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(extra, link); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{"", extra, link} {
		if err := check(t, given); err != nil {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func TestAnExtraDirectoryThatDoesNotFitIsRefusedBeforeAnythingIsCompiled(t *testing.T) {
	special := func(name string, mode uint32) string {
		dir := t.TempDir()
		if err := unix.Mknod(filepath.Join(dir, name), mode, int(unix.Mkdev(1, 3))); err != nil {
			t.Skipf("making a device needs root: %v", err)
		}
		return dir
	}
	text := plant(t, map[string]string{"text": ""})
	for name, c := range map[string]struct{ extra, want string }{
		"not there":             {"/nonexistent", "reading the extra directory /nonexistent: "},
		"a file":                {filepath.Join(text, "text"), "reading the extra directory " + text + "/text: not a directory"},
		"a directory on a link": {plant(t, map[string]string{"bin/sh/x": ""}), "/bin/sh: is a directory there, but a file or link in the image"},
		"a broken binary":       {plant(t, map[string]string{"bin/cut": "\x7fELF"}), "for armv5: bin/cut: cannot be read as the ELF binary that armv5 needs"},
		"a dangling link":       {plant(t, map[string]string{"bin/link": "-> nowhere"}), `bin/link: links to "nowhere", but the tree has no bin/nowhere`},
		"a link that climbs":    {plant(t, map[string]string{"bin/link": "-> ../../etc/passwd"}), "leads out of the tree"},
		"a link in the way":     {plant(t, map[string]string{"bin/ash": "-> nowhere"}), `bin/ash: links to "nowhere"`},
		"a deleted file":        {plant(t, map[string]string{"etc/.wh.passwd": ""}), `".wh."`},
		"not UTF-8":             {plant(t, map[string]string{"etc/\xff": ""}), "not UTF-8"},
		"a device":              {special("null", unix.S_IFCHR|0o666), "/null: is neither a file nor a directory nor a symbolic link"},
		"a pipe":                {special("pipe", unix.S_IFIFO|0o666), "/pipe: is neither a file nor a directory nor a symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := check(t, c.extra); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "extra directory") {
				t.Errorf("error = %v; want %s", err, c.want)
			}
		})
	}
}

func TestAnEntrypointThatIsNotThereIsRefused(t *testing.T) {
	extra := plant(t, map[string]string{"bin/own": "#!/bin/sh\n", "etc/text": ""})
	if err := os.Chmod(filepath.Join(extra, "bin/own"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ extra, entrypoint, want string }{
		{"", "/bin/sh", ""},
		{"", "/usr/local/bin/tailscaled", ""},
		{"", "/var/lib/tailscale/own", ""}, // a volume may contain it later
		{extra, "/bin/own", ""},
		{"", "/bin/own", `the entrypoint ["/bin/own"] can't be started: the program is /bin/own, but the tree has no bin/own`},
		{extra, "/etc/text", "not an executable file"},
	} {
		err := check(t, c.extra, c.entrypoint)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: error = %v; want %q", c.entrypoint, c.extra, err, c.want)
		}
	}
}

// A program for one platform is refused only for the others.
func TestAnExtraProgramIsCheckedForEachPlatform(t *testing.T) {
	extra := t.TempDir()
	if err := os.Rename(program(t, target(t, "armv5")), filepath.Join(extra, "tool")); err != nil {
		t.Fatal(err)
	}
	err := check(t, extra)
	for _, p := range platform.All() {
		want := "for " + p.Name + ": tool: is for ARM (32-bit), but"
		if refused := err != nil && strings.Contains(err.Error(), want); refused != (p.Architecture != "arm") {
			t.Errorf("%s: refused is %v: %v", p, refused, err)
		}
	}
}
