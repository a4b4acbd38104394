package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// run runs a command of this machine and gives its standard output. A failure carries the end
// of what the command printed. When ctx ends, the command and its children are asked to stop.
func runCommand(ctx context.Context, env []string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	said := &tail{}
	cmd.Stdout = tee{&out, said}
	cmd.Stderr = said
	cmd.Env = append(os.Environ(), env...)
	// A process group of its own, so that Ctrl-C reaches the command through ctx alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	// Linux sends the death signal when the thread that started the command ends, not the process. bwrap's
	// --die-with-parent is the same.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", err
	}
	return "", fmt.Errorf("%w\n%s", err, said)
}

type tee struct {
	out  *bytes.Buffer
	said *tail
}

func (t tee) Write(p []byte) (int, error) {
	t.out.Write(p)
	return t.said.Write(p)
}

// tail keeps the end of what a command prints.
type tail struct{ text []byte }

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimRight(string(t.text), "\n") }
