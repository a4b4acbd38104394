package verify

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"dagger/mikrotik-tailscale/platform"
)

// Tree checks a root filesystem for a platform. Every file that starts like an ELF binary must pass Binary, and every
// symbolic link must lead to something inside the tree. Absolute links start at the tree's root. Links to places that
// are only filled in a running container pass: the image's volumes, and what the kernel and the container engine
// provide. A tree without binaries is an error, because it is probably the wrong directory.
//
// The error lists every problem, sorted, with its path inside the tree.
func Tree(rootfs string, t platform.Target, volumes ...string) error {
	binaries, problems := inspect(rootfs, t, volumes)
	if binaries == 0 && problems == nil {
		problems = fmt.Errorf("%s: contains no ELF binary, but %s needs at least one", rootfs, t)
	}
	return problems
}

// Part checks a part of a root filesystem like Tree does. It needs no binary.
func Part(rootfs string, t platform.Target, volumes ...string) error {
	_, problems := inspect(rootfs, t, volumes)
	return problems
}

// inspect returns the number of binaries in a tree, and every problem.
func inspect(rootfs string, t platform.Target, volumes []string) (binaries int, _ error) {
	late := later(volumes)
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return 0, fmt.Errorf("checking a tree: %w", err)
	}
	defer root.Close()

	var problems []error
	note := func(name string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	// The function records problems and returns no error, so that the walk continues.
	_ = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			note(name, err)
		case d.Type() == fs.ModeSymlink:
			note(name, resolve(root, name, late))
		case d.Type().IsRegular():
			isELF, err := checkFile(root, name, t)
			if isELF {
				binaries++
			}
			note(name, err)
		}
		return nil
	})
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return binaries, errors.Join(problems...)
}

// later returns filledInLater and the volumes.
func later(volumes []string) []string {
	late := slices.Clone(filledInLater)
	for _, v := range volumes {
		late = append(late, strings.Trim(path.Clean(v), "/"))
	}
	return late
}

// filledInLater has the paths that are filled in a running container: by the kernel, by the container engine, or by
// programs that keep temporary files there.
var filledInLater = []string{"dev", "proc", "sys", "run", "tmp", "etc/hostname", "etc/hosts", "etc/resolv.conf"}

func checkFile(root *os.Root, name string, t platform.Target) (isELF bool, err error) {
	file, err := root.Open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	magic := make([]byte, len(elf.ELFMAG))
	_, err = io.ReadFull(file, magic)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return false, nil // too short for a binary
	case err != nil:
		return false, err
	case string(magic) != elf.ELFMAG:
		return false, nil
	}
	info, err := file.Stat()
	if err != nil {
		return true, err
	}
	return true, check(file, info.Size(), t)
}

// maxLinks is how many links Linux follows in one path.
const maxLinks = 40

// resolve follows a link as the kernel will when the tree is its root. A link that climbs above that root is an
// error, although the kernel would stop there, because its author meant another place.
func resolve(root *os.Root, name string, late []string) error {
	target, err := root.Readlink(name)
	if err != nil {
		return err
	}
	at, parts := follow(path.Dir(name), target)
	if _, err := lead(root, at, parts, late); err != nil {
		return fmt.Errorf("links to %q, %w", target, err)
	}
	return nil
}

// lead follows all links on a path and returns where it leads. It returns "" if the path is only filled in a running
// container.
func lead(root *os.Root, at string, parts []string, late []string) (string, error) {
	for links := 1; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", errors.New("which leads out of the tree")
			}
			at = path.Dir(at)
			continue
		}
		at = path.Join(at, part)
		if slices.Contains(late, at) {
			return "", nil
		}
		info, err := root.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return "", fmt.Errorf("but the tree has no %s", at)
		}
		if err != nil {
			return "", fmt.Errorf("but %w", err)
		}
		if info.Mode().Type() != fs.ModeSymlink {
			continue
		}
		if links++; links > maxLinks {
			return "", errors.New("which never ends at a file: the links go in a circle")
		}
		next, err := root.Readlink(at)
		if err != nil {
			return "", fmt.Errorf("but %w", err)
		}
		from, more := follow(path.Dir(at), next)
		at, parts = from, append(more, parts...)
	}
	return at, nil
}

// Program checks that a path in a root filesystem leads to an executable file, or to a place that is only filled in a
// running container.
func Program(rootfs, program string, volumes ...string) error {
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return fmt.Errorf("checking a tree: %w", err)
	}
	defer root.Close()
	at, err := lead(root, ".", strings.Split(program, "/"), later(volumes))
	switch {
	case err != nil:
		return fmt.Errorf("the program is %s, %w", program, err)
	case at == "":
		return nil
	}
	info, err := root.Lstat(at)
	if err != nil {
		return fmt.Errorf("the program is %s: %w", program, err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("the program is %s, but that is not an executable file", program)
	}
	return nil
}

// follow returns the directory where a link's target starts, and the parts of the path from there.
func follow(directory, target string) (from string, parts []string) {
	if path.IsAbs(target) {
		directory = "."
	}
	return directory, strings.Split(target, "/")
}
