package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/platform"
)

// destination is where tarballs are written: the tarball of a single platform to file, those of several platforms to
// directory, with checksums.
type destination struct{ file, directory string }

// newDestination checks, before anything is built, that the output can be written.
func newDestination(output string, targets []platform.Target) (destination, error) {
	if len(targets) > 1 {
		if output == "" {
			output = "dist"
		}
		return destination{directory: output}, checkDirectory(output)
	}
	name := assembly.TarballName(targets[0])
	info, err := os.Stat(output)
	switch {
	case output == "":
		output = name
	case strings.HasSuffix(output, "/"), err == nil && info.IsDir():
		output = filepath.Join(output, name)
	case err == nil && !info.Mode().IsRegular():
		return destination{}, fmt.Errorf("output %s is neither a file nor a directory", output)
	}
	return destination{file: output}, checkDirectory(filepath.Dir(output))
}

// checkFile checks, before anything is built, that a file can be written.
func checkFile(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("output %s is not a file", path)
	}
	return checkDirectory(filepath.Dir(path))
}

// checkDirectory checks that a directory exists or can be created, and that files can be created in it.
func checkDirectory(directory string) error {
	place := directory
	for {
		info, err := os.Stat(place)
		if errors.Is(err, fs.ErrNotExist) && place != filepath.Dir(place) {
			place = filepath.Dir(place)
			continue
		}
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if err == nil {
			err = probe(place)
		}
		if err != nil {
			return fmt.Errorf("output directory %s can't be written: %s: %w", directory, place, err)
		}
		return nil
	}
}

// probe creates an entry in a directory and removes it. Permissions alone are not enough: in /proc, root has all
// permissions but can't create files.
func probe(directory string) error {
	dir, err := os.MkdirTemp(directory, ".probe-*")
	if err != nil {
		return errors.Unwrap(err) // the path would mean nothing to the user
	}
	return os.Remove(dir)
}

// companions returns the files that belong next to the tarballs. For a single tarball, that is only the symbols file,
// because nothing else contains the symbols.
func (d destination) companions(ctx context.Context, run assembly.StageRunner, products []assembly.Product, tarballs []attest.Subject) ([]attest.File, error) {
	if d.directory != "" {
		return attest.Files(ctx, run, attest.Build{Builder: attest.BuilderCommand, Products: products}, tarballs)
	}
	symbols, err := attest.Symbols(ctx, run, products[0])
	if err != nil || symbols == "" {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(d.file), ".tar") + attest.SymbolsSuffix
	return []attest.File{{Name: name, Content: symbols}}, nil
}

// place moves the output to its destination and records its path.
func (d destination) place(ctx context.Context, built []result, companions []attest.File) error {
	directory := d.directory
	if directory == "" {
		directory = filepath.Dir(d.file)
	}
	var files []archive.File
	var paths []string
	for _, r := range built {
		to := d.file
		if to == "" {
			to = filepath.Join(directory, filepath.Base(r.Path))
		}
		paths = append(paths, to)
		files = append(files, archive.File{Path: to, Write: copyOf(r.Path)})
	}
	for _, f := range companions {
		files = append(files, archive.File{Path: filepath.Join(directory, f.Name), Write: textOf(f.Content)})
	}
	if _, err := writeAll(ctx, directory, files); err != nil {
		return err
	}
	for i, to := range paths {
		built[i].Path = to
	}
	return nil
}

// writeAll writes files into a directory, all of them or none. It creates the directory if necessary, and removes it
// again if it fails.
func writeAll(ctx context.Context, directory string, files []archive.File) (_ []archive.FileInfo, err error) {
	var made []string // innermost first
	for dir := directory; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, dir)
	}
	defer func() {
		if err != nil {
			for _, dir := range made {
				_ = os.Remove(dir) // only removes an empty directory
			}
		}
	}()
	if err := os.MkdirAll(directory, 0o777); err != nil {
		return nil, fmt.Errorf("creating the output directory: %w", err)
	}
	return archive.WriteFiles(ctx, files)
}

func copyOf(path string) func(io.Writer) error {
	return func(w io.Writer) error {
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		_, err = io.Copy(w, in)
		return err
	}
}

func textOf(content string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}
}

// writeResult writes the output file of a command, and prints its path. The file is about one platform or about several.
func writeResult(ctx context.Context, w io.Writer, asJSON bool, targets []platform.Target, path string, executable bool, write func(io.Writer) error) error {
	all, err := writeAll(ctx, filepath.Dir(path), []archive.File{{Path: path, Write: write}})
	if err != nil {
		return err
	}
	if executable {
		if err := makeExecutable(path); err != nil {
			return err
		}
	}
	if asJSON {
		summary := map[string]any{"path": path, "size": all[0].Size, "sha256": all[0].SHA256}
		if len(targets) == 1 {
			summary["platform"] = targets[0].Name
		}
		return printJSON(w, summary)
	}
	_, err = fmt.Fprintf(w, "%s: %d bytes, sha256 %s\n", path, all[0].Size, all[0].SHA256)
	return err
}

// makeExecutable makes a file executable for everyone who may read it.
func makeExecutable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	const read = 0o444
	return os.Chmod(path, info.Mode()|info.Mode()&read>>2)
}
