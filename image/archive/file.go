package archive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FileInfo is the size and the checksum of a file that WriteFile has written.
type FileInfo struct {
	// Size is the number of bytes.
	Size int64
	// SHA256 is their checksum, in hexadecimal.
	SHA256 string
}

// File is one of several files that WriteFiles makes.
type File struct {
	Path string
	// Write writes the content.
	Write func(io.Writer) error
}

// WriteFile makes a file of what the function write gives it, and replaces a file of that name.
// The file appears whole or not at all: the bytes go to a hidden file in the same directory, which is
// flushed to disk and then renamed, or removed where anything fails or ctx is cancelled before that.
//
// Errors name path and wrap their cause, such as syscall.ENOSPC. A path that is there and is not a
// regular file, such as a directory or /dev/null, is refused rather than replaced.
func WriteFile(ctx context.Context, path string, write func(io.Writer) error) (FileInfo, error) {
	written, err := WriteFiles(ctx, []File{{path, write}})
	if err != nil {
		return FileInfo{}, err
	}
	return written[0], nil
}

// WriteFiles makes several files like WriteFile, all of them or none: it renames none before the content of all is on
// disk. From the first rename on, it no longer looks whether ctx is cancelled.
func WriteFiles(ctx context.Context, files []File) (all []FileInfo, err error) {
	var temporary []string
	defer func() {
		for _, path := range temporary {
			_ = os.Remove(path) // nothing is there once it is renamed
		}
	}()
	for _, f := range files {
		if err := replaceable(f.Path); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.Path, err)
		}
		path := filepath.Join(filepath.Dir(f.Path), ".partial-"+rand.Text())
		temporary = append(temporary, path)
		written, err := writeTemporary(ctx, path, f.Write)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.Path, err)
		}
		all = append(all, written)
	}
	// Renaming fails only for reasons like those that are looked for here.
	for _, f := range files {
		err := replaceable(f.Path)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.Path, err)
		}
	}
	for i, f := range files {
		if err := os.Rename(temporary[i], f.Path); err != nil {
			return nil, fmt.Errorf("writing %s, after %d of %d files: %w", f.Path, i, len(files), cause(err))
		}
	}
	return all, nil
}

// writeTemporary writes a file whose name nobody sees.
func writeTemporary(ctx context.Context, path string, write func(io.Writer) error) (FileInfo, error) {
	// Unlike os.CreateTemp, this leaves the permissions to the umask.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return FileInfo{}, fmt.Errorf("making a file in %s: %w", filepath.Dir(path), cause(err))
	}
	defer file.Close() // once the file is closed, this does nothing

	s := &sink{ctx: ctx, file: file, hash: sha256.New()}
	if err := write(s); err != nil {
		return FileInfo{}, err
	}
	if s.err != nil {
		return FileInfo{}, s.err
	}
	if err := file.Sync(); err != nil {
		return FileInfo{}, cause(err)
	}
	if err := file.Close(); err != nil {
		return FileInfo{}, cause(err)
	}
	return FileInfo{Size: s.size, SHA256: hex.EncodeToString(s.hash.Sum(nil))}, nil
}

// replaceable finds what a rename would fail on, or should not replace, before anything is written.
func replaceable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return cause(err)
	case info.IsDir():
		return errors.New("it is a directory, not a file")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	return nil
}

// cause takes the temporary file's name, which means nothing to users, out of an error.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// sink measures what goes to the file. It keeps its first error, for writers that drop errors.
type sink struct {
	ctx  context.Context
	file *os.File
	hash hash.Hash
	size int64
	err  error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err == nil {
		s.err = context.Cause(s.ctx)
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.file.Write(p)
	s.hash.Write(p[:n])
	s.size += int64(n)
	if err != nil {
		s.err = cause(err)
	}
	return n, s.err
}
