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

// FileInfo has the size and the checksum of a file that WriteFile has written.
type FileInfo struct {
	// Size is the number of bytes.
	Size int64
	// SHA256 is the checksum, in hexadecimal.
	SHA256 string
}

// File is a file for WriteFiles to write.
type File struct {
	Path string
	// Write writes the content.
	Write func(io.Writer) error
}

// WriteFile writes a file with the content that the function write produces, and replaces an existing file. The file
// appears complete or not at all: the content goes to a hidden file in the same directory, which is flushed to disk
// and then renamed. If anything fails or ctx is cancelled before that, the hidden file is removed.
//
// Errors name path and wrap the reason, for example syscall.ENOSPC. WriteFile returns an error if path exists and
// isn't a regular file, for example a directory or /dev/null.
func WriteFile(ctx context.Context, path string, write func(io.Writer) error) (FileInfo, error) {
	written, err := WriteFiles(ctx, []File{{path, write}})
	if err != nil {
		return FileInfo{}, err
	}
	return written[0], nil
}

// WriteFiles writes several files like WriteFile, all or none of them: it renames no file before the content of all
// files is on disk. After the first rename it no longer checks whether ctx is cancelled.
func WriteFiles(ctx context.Context, files []File) (all []FileInfo, err error) {
	var temporary []string
	defer func() {
		for _, path := range temporary {
			_ = os.Remove(path) // fails after the rename, because the file is gone
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
	// After these checks, a rename fails only for unusual reasons.
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
			return nil, fmt.Errorf("writing %s, after %d of %d files: %w", f.Path, i, len(files), withoutPath(err))
		}
	}
	return all, nil
}

// writeTemporary creates a file and writes its content.
func writeTemporary(ctx context.Context, path string, write func(io.Writer) error) (FileInfo, error) {
	// Unlike os.CreateTemp, this leaves the permissions to the umask.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return FileInfo{}, fmt.Errorf("creating a file in %s: %w", filepath.Dir(path), withoutPath(err))
	}
	defer file.Close() // does nothing if the file is closed already

	s := &sink{ctx: ctx, file: file, hash: sha256.New()}
	if err := write(s); err != nil {
		return FileInfo{}, err
	}
	if s.err != nil {
		return FileInfo{}, s.err
	}
	if err := file.Sync(); err != nil {
		return FileInfo{}, withoutPath(err)
	}
	if err := file.Close(); err != nil {
		return FileInfo{}, withoutPath(err)
	}
	return FileInfo{Size: s.size, SHA256: hex.EncodeToString(s.hash.Sum(nil))}, nil
}

// replaceable returns an error if a rename to path would fail, or would replace something other than a regular file.
func replaceable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return withoutPath(err)
	case info.IsDir():
		return errors.New("it is a directory, not a file")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	return nil
}

// withoutPath removes the temporary file's name from an error, because it means nothing to users.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// sink writes to a file and computes its size and checksum. It keeps the first error, because some writers drop
// errors.
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
		s.err = withoutPath(err)
	}
	return n, s.err
}
