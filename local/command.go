package local

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

// command is a command to run on this machine.
type command struct {
	argv []string
	// env is added to the environment of this process.
	env []string
	// stdin is the command's standard input.
	stdin string
	// input and output are files that replace standard input and output.
	input, output *os.File
	// third is the content of the command's file descriptor 3. Unlike arguments, other users can't see it.
	third string
	// hide removes secrets from the command's output.
	hide func(string) string
}

// runCommand runs a command without secrets.
func runCommand(ctx context.Context, env []string, argv ...string) (string, error) {
	return command{argv: argv, env: env}.run(ctx)
}

// run runs the command and returns its standard output. An error contains the end of the command's output. If ctx
// ends, the command and its children are asked to stop.
func (c command) run(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	var out bytes.Buffer
	end := &tail{}
	if c.stdin != "" {
		cmd.Stdin = strings.NewReader(c.stdin)
	}
	if c.input != nil {
		cmd.Stdin = c.input
	}
	cmd.Stdout = tee{&out, end}
	if c.output != nil {
		cmd.Stdout = c.output
	}
	cmd.Stderr = end
	cmd.Env = append(os.Environ(), c.env...)
	// The command has its own process group, so that Ctrl-C reaches it only through ctx.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	// Linux sends the death signal when the thread that started the command exits, not the process. The same applies
	// to bwrap's --die-with-parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if c.third != "" {
		read, write, err := os.Pipe()
		if err != nil {
			return "", err
		}
		defer func() { _ = read.Close() }()
		cmd.ExtraFiles = []*os.File{read}
		go func() {
			_, _ = write.WriteString(c.third) // fails if the command has exited
			_ = write.Close()
		}()
	}
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", err
	}
	text := end.String()
	if c.hide != nil {
		text = c.hide(text)
	}
	return "", fmt.Errorf("%w\n%s", err, text)
}

type tee struct {
	out *bytes.Buffer
	end *tail
}

func (t tee) Write(p []byte) (int, error) {
	t.out.Write(p)
	return t.end.Write(p)
}

// tail keeps the end of a command's output.
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
