package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dagger/mikrotik-tailscale/recipe"
)

// givenFile is the user's own file as an input of a stage. The stage's key contains its name and checksum.
type givenFile struct {
	Input, SHA256 string
	path          string
}

// given copies the user's files for a stage, so that the stage reads the content in its key even if a file is changed
// meanwhile.
func (d *Builder) given(s recipe.Stage, files map[string]string) ([]givenFile, error) {
	var all []givenFile
	for _, in := range s.Inputs {
		if in.Stage != nil {
			continue
		}
		from, ok := files[in.Name]
		if !ok {
			return nil, fmt.Errorf("%s: the input %s needs a file", s.Title(), in.Name)
		}
		f, err := d.copied(from)
		if err != nil {
			return nil, fmt.Errorf("%s: reading the input %s: %w", s.Title(), in.Name, err)
		}
		f.Input = in.Name
		all = append(all, f)
	}
	return all, nil
}

func (d *Builder) copied(from string) (f givenFile, err error) {
	dir, err := d.Scratch()
	if err != nil {
		return f, err
	}
	in, err := os.Open(from)
	if err != nil {
		return f, err
	}
	defer func() { _ = in.Close() }()
	f.path = filepath.Join(dir, "given")
	out, err := os.Create(f.path)
	if err != nil {
		return f, err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return f, err
	}
	f.SHA256, err = sumFile(f.path)
	return f, err
}

// keyWith returns the key of a stage with the files that it was given.
func keyWith(s recipe.Stage, given []givenFile) (string, error) {
	if len(given) == 0 {
		return keyOf(s)
	}
	return keyOf(struct {
		Stage recipe.Stage
		Given []givenFile
	}{s, given})
}
