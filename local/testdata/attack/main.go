// Command attack tries to escape from its sandbox, and to change things that it may only read. It prints one line for
// each attempt.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// These are newer than package syscall. The numbers are the same on every architecture.
const (
	sysOpenTree     = 428
	sysMountSetattr = 442
	currentDir      = -100 // AT_FDCWD
)

func main() {
	if len(os.Args) > 1 {
		nested()
		return
	}
	for _, a := range []struct {
		name string
		try  func() error
	}{
		{"capabilities", capabilities},
		{"remount the root", func() error { return remount("/", "/usr/attacked") }},
		{"remount the input", func() error { return remount("/in/input", "/in/input") }},
		// This is the machine's own Go, so the attempt writes nothing to it.
		{"remount Go", func() error {
			return syscall.Mount("", "/usr/local/go/src", "", syscall.MS_REMOUNT|syscall.MS_BIND, "")
		}},
		{"mount attributes", mountSetattr},
		{"copy of the mount", openTree},
		{"mount tmpfs", func() error { return syscall.Mount("none", "/mnt", "tmpfs", 0, "") }},
		{"mount proc", func() error { return syscall.Mount("none", "/mnt", "proc", 0, "") }},
		{"bind mount", func() error { return syscall.Mount("/usr", "/mnt", "", syscall.MS_BIND, "") }},
		{"unmount the input", func() error { return syscall.Unmount("/in/input", syscall.MNT_DETACH) }},
		{"pivot_root", pivotRoot},
		{"chroot", func() error { return syscall.Chroot("/build") }},
		{"block device", func() error { return syscall.Mknod("/build/disk", syscall.S_IFBLK|0o600, 8<<8) }},
		{"block device in /dev", func() error { return syscall.Mknod("/dev/disk", syscall.S_IFBLK|0o600, 8<<8) }},
		{"memory device", func() error { return syscall.Mknod("/tmp/mem", syscall.S_IFCHR|0o600, 1<<8|1) }},
		{"write", func() error { return write("/usr/attacked") }},
		{"write through /proc/self/root", func() error { return write("/proc/self/root/usr/attacked") }},
		{"write through /proc/self/cwd", func() error { return write("/proc/self/cwd/../usr/attacked") }},
		{"write through any process's root", throughProcesses},
		{"write through an open file", reopen},
		{"write to the input", func() error { return write("/in/input") }},
		{"remove the input", func() error { return os.Remove("/in/input") }},
		{"change a mode", func() error { return os.Chmod("/usr/bin/env", 0o4755) }},
		{"change an owner", func() error { return os.Chown("/build", 1, 1) }},
		{"become another user", func() error { return syscall.Setresuid(1, 1, 1) }},
		{"open by handle", openByHandle},
		{"join another namespace", join},
		{"a user namespace of its own", unshare},
		{"core_pattern", func() error { return openForWriting("/proc/sys/kernel/core_pattern") }},
		{"sysrq", func() error { return openForWriting("/proc/sysrq-trigger") }},
		{"a setting of the kernel", func() error { return openForWriting("/proc/sys/vm/overcommit_memory") }},
	} {
		if err := a.try(); err != nil {
			fmt.Printf("%s: refused: %v\n", a.name, err)
		} else {
			fmt.Printf("%s: SUCCEEDED\n", a.name)
		}
	}
}

func capabilities() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.HasPrefix(name, "Cap") && strings.Trim(value, "0 \t\n") != "" {
			return nil
		}
	}
	return syscall.EPERM
}

func write(path string) error { return os.WriteFile(path, []byte("attacked\n"), 0o644) }

// openForWriting writes nothing, because writing would do harm on a machine where opening succeeds.
func openForWriting(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func remount(mount, file string) error {
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_BIND, ""); err != nil {
		return err
	}
	return write(file)
}

func mountSetattr() error {
	root := []byte("/\x00")
	attributes := struct{ set, clear, propagation, userns uint64 }{clear: 1} // MOUNT_ATTR_RDONLY
	here := currentDir
	_, _, errno := syscall.Syscall6(sysMountSetattr, uintptr(here), uintptr(unsafe.Pointer(&root[0])), 0,
		uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes), 0)
	if errno != 0 {
		return errno
	}
	return write("/usr/attacked")
}

func openTree() error {
	root := []byte("/\x00")
	here := currentDir
	_, _, errno := syscall.Syscall(sysOpenTree, uintptr(here), uintptr(unsafe.Pointer(&root[0])), 1) // OPEN_TREE_CLONE
	if errno != 0 {
		return errno
	}
	return nil
}

func pivotRoot() error {
	if err := os.MkdirAll("/build/root/old", 0o755); err != nil {
		return err
	}
	return syscall.PivotRoot("/build/root", "/build/root/old")
}

func throughProcesses() error {
	roots, err := filepath.Glob("/proc/[0-9]*/root")
	if err != nil || len(roots) == 0 {
		return fmt.Errorf("no processes: %v", err)
	}
	for _, root := range roots {
		if err = write(root + "/usr/attacked"); err == nil {
			return nil
		}
		for _, home := range []string{"/root", "/home", "/var/lib/dpkg"} {
			if write(root+home+"/attacked") == nil {
				return nil
			}
		}
	}
	return err
}

func reopen() error {
	f, err := os.Open("/usr/bin/env")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return openForWriting(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// openByHandle opens the first inode of the root's file system.
func openByHandle() error {
	number := map[string]uintptr{"amd64": 304, "arm64": 265}[runtime.GOARCH]
	f, err := os.Open("/usr/bin/env")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	handle := struct {
		size, kind uint32
		inode      uint64
	}{size: 8, kind: 1, inode: 2}
	_, _, errno := syscall.Syscall(number, f.Fd(), uintptr(unsafe.Pointer(&handle)), syscall.O_RDONLY)
	if errno != 0 {
		return errno
	}
	return nil
}

func join() error {
	number := map[string]uintptr{"amd64": 308, "arm64": 268}[runtime.GOARCH]
	f, err := os.Open("/proc/1/ns/mnt")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, _, errno := syscall.Syscall(number, f.Fd(), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// unshare continues in its own user namespace, where a process has all capabilities.
func unshare() error {
	cmd := exec.Command("/proc/self/exe", "nested")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}}, GidMappings: []syscall.SysProcIDMap{{Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.ReplaceAll(string(out), "\n", "; "))
	}
	return nil
}

func nested() {
	for _, try := range []func() error{
		func() error { return remount("/", "/usr/attacked") },
		func() error { return remount("/in/input", "/in/input") },
		mountSetattr,
		func() error {
			if err := syscall.Mount("/usr", "/mnt", "", syscall.MS_BIND, ""); err != nil {
				return err
			}
			return remount("/mnt", "/mnt/attacked")
		},
		func() error { return syscall.Mknod("/build/nested", syscall.S_IFBLK|0o600, 8<<8) },
		func() error { return openForWriting("/proc/sys/kernel/core_pattern") },
	} {
		err := try()
		if err == nil {
			return
		}
		fmt.Println(err)
	}
	os.Exit(1)
}
