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

	"dagger/mikrotik-tailscale/archive"
	"dagger/mikrotik-tailscale/assembly"
	"dagger/mikrotik-tailscale/attest"
	"dagger/mikrotik-tailscale/platform"
)

// destination is where tarballs go: the one of a single platform to file, those of several to
// folder, with their checksums.
type destination struct{ file, folder string }

// newDestination checks, before anything is built, that the output can be written.
func newDestination(output string, targets []platform.Target) (destination, error) {
	if len(targets) > 1 {
		if output == "" {
			output = "dist"
		}
		return destination{folder: output}, checkFolder(output)
	}
	name := assembly.TarballName(targets[0])
	info, err := os.Stat(output)
	switch {
	case output == "":
		output = name
	case strings.HasSuffix(output, "/"), err == nil && info.IsDir():
		output = filepath.Join(output, name)
	case err == nil && !info.Mode().IsRegular():
		return destination{}, fmt.Errorf("output %s is neither a file nor a folder", output)
	}
	return destination{file: output}, checkFolder(filepath.Dir(output))
}

// checkFile finds out, before anything is built, whether a file can be written.
func checkFile(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("output %s is not a file", path)
	}
	return checkFolder(filepath.Dir(path))
}

// checkFolder finds out whether files can be made in a folder, or the folder itself be made.
func checkFolder(folder string) error {
	place := folder
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
			return fmt.Errorf("output folder %s can't be written: %s: %w", folder, place, err)
		}
		return nil
	}
}

// probe makes something in a folder and takes it away again: permissions alone do not tell, as in
// /proc, where root has all of them.
func probe(folder string) error {
	dir, err := os.MkdirTemp(folder, ".probe-*")
	if err != nil {
		return errors.Unwrap(err) // the path is one that nobody asked for
	}
	return os.Remove(dir)
}

// beside is what stands beside the tarballs: for a single one just the symbols, which nothing else holds.
func (d destination) beside(ctx context.Context, outputs assembly.Outputs, products []assembly.Product, tarballs []attest.Subject) ([]attest.File, error) {
	if d.folder != "" {
		return attest.Beside(ctx, outputs, attest.Build{Builder: attest.BuilderCommand, Products: products}, tarballs)
	}
	symbols, err := attest.Symbols(ctx, outputs, products[0])
	if err != nil || symbols == "" {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(d.file), ".tar") + attest.SymbolsSuffix
	return []attest.File{{Name: name, Content: symbols}}, nil
}

// place copies what was built to where it belongs and notes the path.
func (d destination) place(ctx context.Context, built []result, beside []attest.File) error {
	folder := d.folder
	if folder == "" {
		folder = filepath.Dir(d.file)
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return fmt.Errorf("making the output folder: %w", err)
	}
	for i := range built {
		to := d.file
		if to == "" {
			to = filepath.Join(folder, filepath.Base(built[i].Path))
		}
		if err := copyFile(ctx, to, built[i].Path); err != nil {
			return err
		}
		built[i].Path = to
	}
	for _, f := range beside {
		_, err := archive.WriteFile(ctx, filepath.Join(folder, f.Name), func(w io.Writer) error {
			_, err := io.WriteString(w, f.Content)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(ctx context.Context, to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	defer func() { _ = in.Close() }()
	_, err = archive.WriteFile(ctx, to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
	return err
}

// writeResult writes the one file that a command gives, and says so.
func writeResult(ctx context.Context, w io.Writer, asJSON bool, t platform.Target, path string, executable bool, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("making the output folder: %w", err)
	}
	written, err := archive.WriteFile(ctx, path, write)
	if err != nil {
		return err
	}
	if executable {
		if err := makeExecutable(path); err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(w, map[string]any{"platform": t.Name, "path": path, "size": written.Size, "sha256": written.SHA256})
	}
	_, err = fmt.Fprintf(w, "%s: %d bytes, sha256 %s\n", path, written.Size, written.SHA256)
	return err
}

// makeExecutable lets everybody who may read a file run it.
func makeExecutable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	const read = 0o444
	return os.Chmod(path, info.Mode()|info.Mode()&read>>2)
}
