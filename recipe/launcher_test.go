package recipe_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// asHelper makes the test program run one of the helpers instead of the tests.
const asHelper = "RECIPE_TEST_AS_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(asHelper); what != "" {
		fmt.Fprintln(os.Stderr, helper(what, os.Args[1:]))
		os.Exit(99)
	}
	os.Exit(m.Run())
}

// shells are this machine's busybox as linked, packed, and packed as another build.
type shells struct{ plain, packed, other string }

var buildShells = sync.OnceValues(func() (shells, error) {
	var s shells
	t, err := platform.Parse(runtime.GOARCH)
	if err != nil {
		return s, err
	}
	ctx := context.Background()
	if err := local.Require(ctx, func(s string) bool { fmt.Println(s); return true }, local.Tools()...); err != nil {
		return s, err
	}
	d, err := local.Open(ctx, local.Options{})
	if err != nil {
		return s, err
	}
	defer func() { _ = d.Close() }()
	c := recipe.Default()
	c.Compression = recipe.CompressionLauncher
	if err := c.Complete(); err != nil {
		return s, err
	}
	plain := recipe.Busybox(t, c)
	packed := recipe.Compress(t, c, &plain)
	for stage, path := range map[*recipe.Stage]*string{&plain: &s.plain, &packed: &s.packed} {
		if *path, err = d.Output(ctx, *stage); err != nil {
			return s, err
		}
	}
	s.other = s.packed // programs gives it another name
	return s, nil
})

// builds matches the name of the unpacked file in a launcher, which is different for each build.
var builds = regexp.MustCompile(`busybox-[0-9a-f]{16}`)

// programs returns copies of the shells. The packed copies have unique names: this machine may be running the same
// busybox, and tests must not share the memory of another test's processes.
func programs(t *testing.T) shells {
	t.Helper()
	testmode.Machine(t)
	s, err := buildShells()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, path := range map[string]*string{"plain": &s.plain, "packed": &s.packed, "other": &s.other} {
		content, err := os.ReadFile(*path)
		if err != nil {
			t.Fatal(err)
		}
		if *path != s.plain {
			if !builds.Match(content) {
				t.Fatalf("%s: the name of the build was not found", *path)
			}
			own := fmt.Sprintf("busybox-%016x", rand.Uint64())
			content = builds.ReplaceAllLiteral(content, []byte(own))
		}
		*path = filepath.Join(dir, name, "sh")
		if err := errors.Join(os.Mkdir(filepath.Dir(*path), 0o755), os.WriteFile(*path, content, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// outcome is everything that a program shows of itself.
type outcome struct {
	stdout, stderr string
	status         syscall.WaitStatus
}

func runAs(t *testing.T, path string, env []string, argv ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Args, cmd.Env, cmd.Stdout, cmd.Stderr = argv, env, &out, &err
	var exit *exec.ExitError
	if e := cmd.Run(); e != nil && !errors.As(e, &exit) {
		t.Fatal(e)
	}
	return outcome{out.String(), err.String(), cmd.ProcessState.Sys().(syscall.WaitStatus)}
}

// A packed program behaves like the program itself.
func TestPackedProgramIsTheProgram(t *testing.T) {
	s := programs(t)
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		env, argv []string
	}{
		"arguments":        {nil, []string{"sh", "-c", `printf '<%s>' "$0" "$@"`, "a b", "", "\n", "*", "é\xff", "--", "-c"}},
		"many arguments":   {nil, append([]string{"sh", "-c", `printf '%s\n' "$@" | wc -c`, "sh", long}, strings.Fields(strings.Repeat("y ", 10_000))...)},
		"name with a path": {nil, []string{"/somewhere/else/basename", "/a/b"}},
		"login shell":      {nil, []string{"-sh", "-c", `printf %s "$0"`}},
		"no such applet":   {nil, []string{"frobnicate"}},
		"environment":      {[]string{"A=1", "A=2", "EMPTY=", "noequals", "B=a\nb"}, []string{"printenv"}},
		"no environment":   {[]string{}, []string{"printenv"}},
		"exit code":        {nil, []string{"sh", "-c", "exit 42"}},
		"signal":           {nil, []string{"sh", "-c", "kill -TERM $$"}},
		"abort":            {nil, []string{"sh", "-c", "kill -QUIT $$"}},
		"standard error":   {nil, []string{"sh", "-c", "echo out; echo err >&2"}},
		"open files":       {nil, []string{"sh", "-c", "for f in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$f ] && echo $f; done; true"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := runAs(t, s.packed, c.env, c.argv...), runAs(t, s.plain, c.env, c.argv...)
			if got != want {
				t.Errorf("packed:     %+v\nas linked: %+v", got, want)
			}
		})
	}
}

// A program inherits signals, limits and similar settings when it starts.
func TestPackedProgramInheritsWhatItsParentSet(t *testing.T) {
	s := programs(t)
	const script = `grep -E '^(Sig(Blk|Ign|Pnd)|ShdPnd|Umask|NoNewPrivs):' /proc/self/status; cat /proc/self/oom_score_adj; pwd; nice; ulimit -n`
	for name, with := range map[string][]string{
		"signals":   {"env", "--block-signal=USR1,TERM", "--ignore-signal=HUP,PIPE,INT"},
		"directory": {"env", "--chdir=/usr"},
		"limits":    {"prlimit", "--nofile=64", "nice", "-n", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runAs(t, "/usr/bin/env", os.Environ(), append(append([]string{"env"}, with...), s.packed, "-c", script)...)
			want := runAs(t, "/usr/bin/env", os.Environ(), append(append([]string{"env"}, with...), s.plain, "-c", script)...)
			if got != want || got.stdout == "" {
				t.Errorf("packed:     %+v\nas linked: %+v", got, want)
			}
		})
	}
}

// running starts a packed program that sleeps.
func running(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Args = []string{"sh", "-c", "echo ready; read -r line; echo $line"}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// file identifies the file that a process executes.
func file(t *testing.T, cmd *exec.Cmd) (link string, inode uint64) {
	t.Helper()
	exe := fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid)
	link, err := os.Readlink(exe)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	return link, info.Sys().(*syscall.Stat_t).Ino
}

func TestRunningProgramIsShared(t *testing.T) {
	s := programs(t)
	first, second := running(t, s.packed), running(t, s.packed)
	name, memory := file(t, first)
	if !strings.HasPrefix(name, "/memfd:busybox-") {
		t.Errorf("the program is %s; want a file in memory with its name", name)
	}
	if _, got := file(t, second); got != memory {
		t.Error("the second process has its own copy")
	}

	other := running(t, s.other)
	if otherName, got := file(t, other); got == memory || otherName == name {
		t.Errorf("%s was executed instead of another program", otherName)
	}

	// The file lives as long as the second process, so a third one finds it.
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	if _, got := file(t, running(t, s.packed)); got != memory {
		t.Error("the third process has its own copy although the second one is running")
	}
	// The unpacked program can't be changed.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/exe", second.Process.Pid), []byte("x"), 0); err == nil {
		t.Error("the unpacked program can be written to")
	}
}

// Processes start at the same time and end at any moment. Each start must succeed.
func TestStartsAtTheSameTime(t *testing.T) {
	s := programs(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 25 {
				want := fmt.Sprint(i, j)
				if got := runAs(t, s.packed, nil, "echo", want); got.stdout != want+"\n" || got.status != 0 {
					t.Errorf("start %s: %+v", want, got)
				}
			}
		})
	}
	group.Wait()
}

// Anyone may give a file in memory any name. The launcher only uses a sealed file of the same user.
func TestImpostorsAreNotExecuted(t *testing.T) {
	s := programs(t)
	real := running(t, s.packed)
	link, _ := file(t, real)
	name := strings.TrimSuffix(strings.TrimPrefix(link, "/memfd:"), " (deleted)")
	info, err := os.Stat(fmt.Sprintf("/proc/%d/exe", real.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_ = real.Process.Kill()
	_ = real.Wait()

	for what, user := range map[string]uint32{"unsealed": 0, "sealed": 65534, "short": 0} {
		t.Run(what, func(t *testing.T) {
			if user != 0 && os.Geteuid() != 0 {
				t.Skip("another user's process needs root")
			}
			size := info.Size()
			if what == "short" {
				size--
			}
			impostor := exec.CommandContext(t.Context(), os.Args[0], name, s.plain, strconv.FormatInt(size, 10), what)
			impostor.Env = append(os.Environ(), asHelper+"=impostor")
			// The other user must be able to read the test program, which is in a directory of root's.
			impostor.Path = copyFor(t, os.Args[0])
			impostor.Args[2] = copyFor(t, s.plain)
			impostor.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			impostor.Stderr = os.Stderr
			if _, err := impostor.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			if err := impostor.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = impostor.Process.Kill(); _ = impostor.Wait() })
			deadline := time.Now().Add(time.Minute)
			for {
				if got, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", impostor.Process.Pid)); got == link {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the impostor does not run")
				}
				time.Sleep(10 * time.Millisecond)
			}
			_, fake := file(t, impostor)
			if _, got := file(t, running(t, s.packed)); got == fake {
				t.Error("the impostor's file was executed")
			}
		})
	}
}

// copyFor copies a program to a place where every user can execute it.
func copyFor(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "launcher-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "program")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(to, content, 0o755)); err != nil {
		t.Fatal(err)
	}
	return to
}

// The test simulates other kernels with a filter in front of this machine's.
func TestKernelsThatLackSomething(t *testing.T) {
	s := programs(t)
	const inMemory, inFile = "/memfd:busybox-", "/dev/shm/.busybox-"
	for name, want := range map[string]string{
		"MFD_EXEC":                      inMemory, // before 6.3
		"execveat":                      inMemory,
		"MFD_EXEC,execveat":             inMemory,
		"memfd_create":                  inFile,
		"memfd_create,execveat":         inFile,
		"statx":                         inMemory,
		"fallocate":                     inMemory, // not supported by this file system
		"getdents64":                    inMemory,
		"MFD_EXEC,statx,getdents64":     inMemory,
		"memfd_create,statx,getdents64": inFile,
	} {
		t.Run(name, func(t *testing.T) {
			got := lacking(t, name, s.packed, "readlink", "/proc/self/exe")
			if !strings.HasPrefix(got.stdout, want) || got.status != 0 || got.stderr != "" {
				t.Errorf("%+v; want a program in %s", got, want)
			}
		})
	}
	if left, _ := filepath.Glob("/dev/shm/.busybox-*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func lacking(t *testing.T, what string, argv ...string) outcome {
	t.Helper()
	return runAs(t, os.Args[0], append(os.Environ(), asHelper+"=lacking "+what), append([]string{os.Args[0]}, argv...)...)
}

// In its own namespaces, a packed program is process 1, and has no /proc, or no place to unpack to.
func TestSparseSurroundings(t *testing.T) {
	s := programs(t)
	unshare := func(script string) outcome {
		return runAs(t, "/usr/bin/env", os.Environ(), "env", "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork",
			"--kill-child", "--", "sh", "-euc", script, "sh", s.packed, os.Args[0])
	}
	if got := unshare(`mount -t proc proc /proc; exec "$1" -c 'echo $$; /usr/bin/readlink /proc/1/exe; exit 3'`); !strings.HasPrefix(got.stdout, "1\n/memfd:busybox-") || got.status.ExitStatus() != 3 {
		t.Errorf("as the first process: %+v", got)
	}
	const root = `mount -t tmpfs tmpfs /mnt; cp "$1" /mnt/sh; mkdir /mnt/dev /mnt/dev/shm /mnt/run /mnt/tmp; `
	if got := unshare(root + `exec chroot /mnt /sh -c 'echo $$; exit 3'`); got.stdout != "1\n" || got.status.ExitStatus() != 3 || got.stderr != "" {
		t.Errorf("without /proc: %+v", got)
	}
	without := func(mounts string) string {
		return root + mounts + asHelper + `="lacking memfd_create" exec "$2" "$(command -v chroot)" chroot /mnt /sh -c 'echo $0 $$; exit 3'`
	}
	if got := unshare(without("")); got.stdout != "/sh 1\n" || got.status.ExitStatus() != 3 {
		t.Errorf("without /proc and files in memory: %+v", got)
	}
	noexec := "for d in dev/shm run tmp; do mount -t tmpfs -o noexec tmpfs /mnt/$d; done; "
	if got := unshare(without(noexec)); got.status.ExitStatus() != 127 || got.stdout != "" ||
		got.stderr != "busybox: cannot start: neither a file in memory nor one in /dev/shm, /run or /tmp can be executed: not permitted (error 13)\n" {
		t.Errorf("nowhere to execute: %+v", got)
	}
	if got := unshare(without(strings.Replace(noexec, "run tmp", "run", 1))); got.stdout != "/sh 1\n" || got.status.ExitStatus() != 3 {
		t.Errorf("only /tmp to execute in: %+v", got)
	}
	small := strings.ReplaceAll(noexec, "noexec", "size=64k")
	if got := unshare(without(small)); got.status.ExitStatus() != 127 || !strings.Contains(got.stderr, "not enough memory (error 28)") {
		t.Errorf("no space: %+v", got)
	}
}

func TestTooLittleMemoryIsReported(t *testing.T) {
	s := programs(t)
	got := runAs(t, "/usr/bin/env", os.Environ(), "env", "prlimit", "--as=500000", s.packed, "-c", "true")
	if got.status.ExitStatus() != 127 || got.stderr != "busybox: cannot start: unpacking: not enough memory (error 12)\n" {
		t.Errorf("%+v", got)
	}
}

// A flash page with a flipped bit must not turn into a program that does something else.
func TestDamageIsReported(t *testing.T) {
	s := programs(t)
	content, err := os.ReadFile(s.packed)
	if err != nil {
		t.Fatal(err)
	}
	const magic = "mt-packed-1\n"
	begin := bytes.Index(content, []byte(magic))
	if begin < 0 || bytes.Count(content, []byte(magic)) != 1 {
		t.Fatal("the payload was not found")
	}
	begin += len(magic)
	size := int(binary.LittleEndian.Uint32(content[begin+4:])) - len(magic)
	places := []int{size - 1}
	for at := 0; at < 200; at++ { // the header and the list of parts, then samples of the rest
		places = append(places, at)
	}
	for at := 200; at < size; at += size / 100 {
		places = append(places, at)
	}
	for _, at := range places {
		content[begin+at] ^= 0x10
		damaged := filepath.Join(t.TempDir(), "damaged")
		if err := os.WriteFile(damaged, content, 0o755); err != nil {
			t.Fatal(err)
		}
		content[begin+at] ^= 0x10
		if got := runAs(t, damaged, nil, "echo", "hello"); got.status.ExitStatus() != 127 || got.stdout != "" ||
			got.stderr != "busybox: cannot start: its file is damaged: the checksum is wrong\n" {
			t.Errorf("byte %d of %d: %+v", at, size, got)
		}
	}
}
