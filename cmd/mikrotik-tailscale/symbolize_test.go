package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// crash returns the paths of a program's symbols file, and of the output of the stripped program when it crashed.
func crash(t *testing.T) (symbols, text string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module crashing\n\ngo 1.26\n",
		"main.go": "package main\n\nfunc main() { fails(map[string]int(nil)) }\n\nfunc fails(m map[string]int) { m[\"x\"] = 1 }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "crashing")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content := []byte(read(t, program))
	made, err := pclntab.Symbols(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := pclntab.Strip(content); err != nil {
		t.Fatal(err)
	}
	symbols, text = filepath.Join(dir, "symbols"), filepath.Join(dir, "crash")
	if err := os.WriteFile(symbols, made, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, content, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "GOTRACEBACK=system")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "?.(*?).?") {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(text, out, 0o644); err != nil {
		t.Fatal(err)
	}
	return symbols, text
}

func TestSymbolize(t *testing.T) {
	symbols, text := crash(t)
	stdout, stderr, code := call(t, "symbolize", "--symbols", symbols, text)
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"panic: assignment to entry in nil map\n", "main.fails(...)\n", "/main.go:5\n", "main.main()\n", "/main.go:3 +0x"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the output does not have %q:\n%s", want, stdout)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "symbolize", "--symbols", symbols)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stdin = strings.NewReader(read(t, text))
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != stdout {
		t.Errorf("from the standard input (%v):\n%s", err, out)
	}
}

func TestWhatSymbolizeRefuses(t *testing.T) {
	symbols, text := crash(t)
	other, _ := crash(t) // the same code in another directory
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := call(t, "symbolize", "--symbols", other, text); code != 0 {
		t.Errorf("symbols of a program with the same code: exit code %d: %s", code, stderr)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no symbols":           {nil, exitUsage, "no symbols: want --symbols"},
		"absent symbols":       {[]string{"--symbols", "/nowhere", text}, exitUsage, "reading the symbols file: open /nowhere: no such file"},
		"an absent crash":      {[]string{"--symbols", symbols, "/nowhere"}, exitUsage, "reading the crash report: open /nowhere: no such file"},
		"two crashes":          {[]string{"--symbols", symbols, text, text}, exitUsage, "unexpected argument"},
		"no symbol file":       {[]string{"--symbols", plain, text}, exitFailure, "symbolizing with " + plain + ": reading the symbols: it is not a symbols file"},
		"no crash":             {[]string{"--symbols", symbols, plain}, exitFailure, "not the crash of a stripped program"},
		"a directory of files": {[]string{"--symbols", symbols, filepath.Dir(plain)}, exitFailure, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := call(t, append([]string{"symbolize"}, c.args...)...)
			if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, output %q; want %d, nothing and %q:\n%s", code, stdout, c.code, c.want, stderr)
			}
		})
	}
}
