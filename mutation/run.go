package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is the result of trying a mutant.
type result int

const (
	survived result = iota
	unreached
	killed
	timedOut
	results
)

// The limits of one run. The limit of processor time ends endless loops, however busy the machine is. The deadline ends tests
// that wait forever.
const (
	processorSeconds = 20
	deadline         = time.Minute
	memory           = 8 << 30 // bytes of address space
)

// sandboxed runs tests in a sandbox, because a mutant may remove any file. Only temporary files, the copy of the package's
// directory and Go's build cache are writable, and there is no network.
func (p *program) sandboxed(ctx context.Context, tests []string, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*deadline)
	defer cancel()
	work := filepath.Dir(p.path)
	// /tmp stays as it is, only read-only: this project or Go's module cache may be in it.
	temporary := filepath.Join(work, "tmp")
	args := []string{"--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", work, work, "--bind", filepath.Join(work, copied), p.dir,
		"--unshare-net", "--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session", "--chdir", p.dir,
		"--tmpfs", temporary, "--setenv", "TMPDIR", temporary, "--setenv", "XDG_CACHE_HOME", filepath.Join(temporary, "cache"),
		"--bind-try", p.cache, p.cache, "--setenv", "GOCACHE", p.cache}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		args = append(args, "--setenv", name, value)
	}
	args = append(args, "prlimit", fmt.Sprintf("--cpu=%d", processorSeconds), fmt.Sprintf("--as=%d", memory), p.path,
		"-test.short", "-test.failfast", "-test.timeout="+deadline.String(), "-test.run=^("+strings.Join(tests, "|")+")$")
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "bwrap", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	return out.String(), err
}

// test is a test function and the time that it takes.
type test struct {
	name    string
	seconds float64
}

// measure runs each test on its own, without a mutant. It returns the tests that reach each mutant, the fastest first.
func (p *program) measure(ctx context.Context, jobs int) (map[int][]string, error) {
	out, err := exec.Command(p.path, "-test.list=.").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests: %w", err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Example") {
			names = append(names, name)
		}
	}
	var lock sync.Mutex
	var problems []error
	var tests []test
	reached := map[string][]int{}
	parallel(len(names), jobs, func(i int) {
		file := filepath.Join(filepath.Dir(p.path), "reached-"+names[i])
		err := os.WriteFile(file, nil, 0o600)
		begin := time.Now()
		var out string
		if err == nil {
			out, err = p.sandboxed(ctx, names[i:i+1], "MUTATION_REACHED="+file)
		}
		took := time.Since(begin).Seconds()
		content, errRead := os.ReadFile(file)
		lock.Lock()
		defer lock.Unlock()
		if err = errors.Join(err, errRead); err != nil {
			problems = append(problems, fmt.Errorf("%s fails without a mutant: %w\n%s", names[i], err, out))
			return
		}
		tests = append(tests, test{names[i], took})
		for _, line := range strings.Fields(string(content)) {
			id, _ := strconv.Atoi(line)
			reached[names[i]] = append(reached[names[i]], id)
		}
	})
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if len(tests) == 0 {
		return nil, errors.New("there are no tests")
	}
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(a.seconds, b.seconds) })
	all := map[int][]string{}
	for _, t := range tests {
		for _, id := range reached[t.name] {
			all[id] = append(all[id], t.name)
		}
	}
	return all, nil
}

var (
	failure   = regexp.MustCompile(`(?m)^(\s*--- FAIL: |FAIL$|panic: |fatal error: |runtime: )`)
	overLimit = regexp.MustCompile(`(?m)^(panic: test timed out|SIGXCPU)`)
)

// try runs the tests that reach a mutant with the mutant switched on.
func (p *program) try(ctx context.Context, m mutant, tests []string) (result, error) {
	if len(tests) == 0 {
		return unreached, nil
	}
	out, err := p.sandboxed(ctx, tests, "MUTATION_ON="+strconv.Itoa(m.id))
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survived, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case !errors.As(err, &exit):
		return 0, err
	case overLimit.MatchString(out), exit.ExitCode() == -1, exit.ExitCode() == 128+9, exit.ExitCode() == 128+24:
		return timedOut, nil
	case failure.MatchString(out):
		return killed, nil
	}
	return 0, fmt.Errorf("%v: the tests ended with neither success nor a failed test: %w\n%s", m, err, out)
}

// parallel calls f for 0 to n-1, at most jobs calls at a time.
func parallel(n, jobs int, f func(int)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, jobs)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	group.Wait()
}
