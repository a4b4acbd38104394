package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
)

func TestToolsAreOnlyInstalledWithPermission(t *testing.T) {
	for name, c := range map[string]struct {
		flag     bool
		terminal io.Reader
		want     bool
		says     string
	}{
		"nobody to ask":   {false, nil, false, ""},
		"the flag":        {true, nil, true, "what\n"},
		"the flag, asked": {true, strings.NewReader("n\n"), true, "what\n"},
		"yes":             {false, strings.NewReader("Yes\n"), true, "what\nInstall now? [y/N] "},
		"y":               {false, strings.NewReader(" y \n"), true, "what\nInstall now? [y/N] "},
		"no":              {false, strings.NewReader("no\n"), false, "what\nInstall now? [y/N] "},
		"just Enter":      {false, strings.NewReader("\n"), false, "what\nInstall now? [y/N] "},
		"anything else":   {false, strings.NewReader("yeah, why not\n"), false, "what\nInstall now? [y/N] "},
		"the end":         {false, strings.NewReader(""), false, "what\nInstall now? [y/N] "},
	} {
		t.Run(name, func(t *testing.T) {
			var printed strings.Builder
			if got := leave(t.Context(), c.flag, c.terminal, &printed)("what"); got != c.want || printed.String() != c.says {
				t.Errorf("the answer is %v after %q; want %v after %q", got, printed.String(), c.want, c.says)
			}
		})
	}
}

func TestAnInterruptedQuestionIsANo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	silent, end := io.Pipe()
	defer end.Close()
	if leave(ctx, false, silent, io.Discard)("what") {
		t.Error("the answer is yes")
	}
}

// fakeApt simulates a machine that only has apt-get. calls returns the arguments with which it was called.
func fakeApt(t *testing.T) (path string, calls func() string) {
	t.Helper()
	testtools.Require(t, local.Tool{Command: "script", Package: "bsdutils"})
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\necho \"$1\" >>'"+log+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, func() string {
		text, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), "\n", " ")
	}
}

// armProgram compiles the smallest program that can be packed for ARM.
func armProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	arm, err := platform.Parse("arm")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	testtools.BuildFor(t, arm, program, filepath.Join(dir, "main.go"))
	return program
}

func TestWithoutATerminalTheErrorNamesCommandAndFlag(t *testing.T) {
	t.Chdir(emptyDir(t))
	program := armProgram(t)
	dir, calls := fakeApt(t)
	t.Setenv("PATH", dir)
	for _, command := range [][]string{{"build", "--arch", "arm"}, {"features"}, {"sizes"}, {"compress", "--arch", "arm", "--binary", program, "--output", "packed"}} {
		_, stderr, code := call(t, command...)
		if code != exitFailure || !strings.Contains(stderr, "with apt-get install mmdebstrap bubblewrap") || !strings.Contains(stderr, "or pass --install-tools") {
			t.Errorf("%v: exit code %d: %s", command, code, stderr)
		}
	}
	if got := calls(); got != "" {
		t.Errorf("apt-get was called: %s", got)
	}
	if _, stderr, _ := call(t, "build", "--arch", "arm", "--install-tools"); !strings.Contains(stderr, "to be installed with apt-get install mmdebstrap") {
		t.Errorf("before the installation, the command printed %s", stderr)
	}
	if got, want := calls(), "update install "; got != want {
		t.Errorf("apt-get was called with %q; want %q", got, want)
	}
}

func TestOnATerminalTheUserIsAsked(t *testing.T) {
	for answer, want := range map[string]string{"y\n": "update install ", "n\n": ""} {
		dir, calls := fakeApt(t)
		// The command finds no other program, so it always fails in the end.
		cmd := exec.CommandContext(t.Context(), "script", "--quiet", "--command", "PATH="+dir+" exec "+os.Args[0]+" build --arch arm", "/dev/null")
		cmd.Dir = emptyDir(t)
		cmd.Env = append(os.Environ(), asCommand+"=1", "TERM=xterm")
		cmd.Stdin = strings.NewReader(answer)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), "Install now? [y/N]") {
			t.Errorf("the command did not ask:\n%s", out)
		}
		if got := calls(); got != want {
			t.Errorf("after %q, apt-get was called with %q; want %q:\n%s", answer, got, want, out)
		}
	}
}
