package recipe_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// helper is what the test program does in a process of its own. It only returns if it fails.
func helper(what string, args []string) error {
	what, rest, _ := strings.Cut(what, " ")
	switch what {
	case "impostor":
		return impostor(args)
	case "lacking":
		return lack(strings.Split(rest, ","), args)
	}
	return fmt.Errorf("unknown helper %q", what)
}

// impostor executes a program from a file in memory with the given name, program and size.
func impostor(args []string) error {
	name, program, kind := args[0], args[1], args[3]
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, content[:min(size, len(content))]); err != nil {
		return err
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return err
	}
	if kind != "unsealed" {
		seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
			return err
		}
	}
	return syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), []string{"cat"}, nil)
}

// lack executes a program on a kernel that lacks something.
func lack(what, argv []string) error {
	const (
		load, equal, set, ret  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
		number, secondArgument = 0, 24 // in struct seccomp_data
		fails, passes          = 0x00050000, 0x7fff0000
	)
	calls := map[string]struct {
		call uint32
		err  syscall.Errno
	}{
		"memfd_create": {unix.SYS_MEMFD_CREATE, unix.ENOSYS},
		"execveat":     {unix.SYS_EXECVEAT, unix.ENOSYS},
		"statx":        {unix.SYS_STATX, unix.ENOSYS},
		"getdents64":   {unix.SYS_GETDENTS64, unix.ENOSYS},
		"fallocate":    {unix.SYS_FALLOCATE, unix.EOPNOTSUPP},
	}
	var program []unix.SockFilter
	for _, name := range what {
		if name == "MFD_EXEC" {
			program = append(program,
				unix.SockFilter{Code: load, K: number},
				unix.SockFilter{Code: equal, K: unix.SYS_MEMFD_CREATE, Jf: 3},
				unix.SockFilter{Code: load, K: secondArgument},
				unix.SockFilter{Code: set, K: unix.MFD_EXEC, Jf: 1},
				unix.SockFilter{Code: ret, K: fails | uint32(unix.EINVAL)})
			continue
		}
		c, ok := calls[name]
		if !ok {
			return fmt.Errorf("unknown system call %q", name)
		}
		program = append(program,
			unix.SockFilter{Code: load, K: number},
			unix.SockFilter{Code: equal, K: c.call, Jf: 1},
			unix.SockFilter{Code: ret, K: fails | uint32(c.err)})
	}
	program = append(program, unix.SockFilter{Code: ret, K: passes})
	runtime.LockOSThread() // the filter only applies to the thread
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0); err != nil {
		return err
	}
	path := argv[0]
	if len(argv) > 1 {
		argv = argv[1:]
	}
	var environment []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, asHelper+"=") {
			environment = append(environment, v)
		}
	}
	return syscall.Exec(path, argv, environment)
}
