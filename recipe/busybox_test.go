package recipe_test

import (
	"os"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/applets"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/recipe"
)

// A user's list may contain any applet of the catalogue. So the test tries each one as a list of its own, with a
// shell, against busybox's own configuration. It also compares the catalogue with the applets that are registered in
// busybox's source.
func TestEveryAppletOfTheCatalogueCanBeChosen(t *testing.T) {
	report := inBusyboxSource(t, configurations(t), `
		./scripts/gen_build_files.sh . . >log
		sed -nE 's/^[[:space:]]*(IF_[A-Z0-9_]+\([[:space:]]*)+APPLET[A-Z_]*\([[:space:]]*([^,[:space:]]+).*/\2/p' include/applets.h | sort -u >registered
		sed -n 's/^== //p' "$1" | sort -u | comm -13 registered - | sed 's/$/ is no applet of busybox/' >"$2"
		awk '/^== / { file = "try/" $2; next } { print >file }' "$1"
		make -s allnoconfig >log
		find . -name Config.in -exec sed -n 's/^[[:space:]]*config \([A-Z0-9a-z_]*\)$/CONFIG_\1/p' {} + | sort -u >symbols
		for wanted in try/*; do
			awk -F= 'NR == FNR { wanted[$1]; print; next } !($1 in wanted) { print "# " $1 " is not set" }' "$wanted" symbols >.config
			yes "" | scripts/kconfig/conf -o Config.in >log
			grep -vxFf .config "$wanted" | sed "s|^|${wanted#try/}: not taken: |" >>"$2" || true
		done`)
	if report != "" {
		t.Error(report)
	}
}

// configurations returns a configuration for each applet of the catalogue.
func configurations(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, applet := range applets.Catalogue() {
		lines := map[string]bool{"ash": true, "sh": true, applet: true}
		text := ""
		for name := range lines {
			text += name + "\n"
		}
		list, err := applets.Parse(applet, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("== " + applet + "\n" + list.Config())
	}
	return b.String()
}

// inBusyboxSource runs a script in busybox's unpacked source, and returns the content of the file that its second
// argument names. The first argument names a file with the given text.
func inBusyboxSource(t *testing.T, text, script string) string {
	t.Helper()
	s := recipe.ConfiguredBusybox(validConfig(t))
	s.Name = "busybox-catalogue"
	s.Files = []recipe.File{{Name: "text", Content: text}}
	s.Output = "report"
	unpack := s.Steps[:len(s.Steps)-2] // without the last two, which configure
	s.Steps = append(unpack,
		[]string{"sh", "-euc", "cd busybox; mkdir try\n" + script, "sh", recipe.InDir + "/text", recipe.OutDir + "/" + s.Output})
	return output(t, s)
}

// open returns a builder with the user's own cache, like the command's.
func open(t *testing.T) *local.Builder {
	t.Helper()
	testtools.Require(t, local.Tools()...)
	d, err := local.Open(t.Context(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// output returns the output of a stage as text.
func output(t *testing.T, s recipe.Stage) string {
	t.Helper()
	path, err := open(t).Output(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(report)
}
