package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/recipe"
)

// Other stages start from the base while it is copied, and each sets the base's time. If the base itself were in the
// archive, tar would fail then.
func TestACopyOfABaseHasItsFilesOnly(t *testing.T) {
	base, work := t.TempDir(), t.TempDir()
	for _, path := range []string{"usr/bin/tool", ".hidden", "etc/hosts", recipe.OriginFile} {
		path = filepath.Join(base, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options, err := onBase(t.Context(), debianRoot{Packages: recipe.Packages{Names: []string{"gcc", "make"}}}, base, work)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(options, " "); !strings.Contains(got, filepath.Join(work, "base.tar")) || !strings.HasSuffix(got, " install gcc make") {
		t.Errorf("the options are %s", got)
	}
	list, err := exec.CommandContext(t.Context(), "tar", "-tf", filepath.Join(work, "base.tar")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, list)
	}
	files := "\n" + string(list)
	for _, name := range []string{"./usr/bin/tool", "./.hidden"} {
		if !strings.Contains(files, "\n"+name+"\n") {
			t.Errorf("%s is not in the archive:%s", name, files)
		}
	}
	for _, name := range []string{"./", "./etc/hosts", "." + recipe.OriginFile} {
		if strings.Contains(files, "\n"+name+"\n") {
			t.Errorf("%s is in the archive:%s", name, files)
		}
	}
}
