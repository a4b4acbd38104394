package supervisor

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// State is the daemon's state file, which contains the router's identity, and its last good copy. If the daemon can't
// read the file, it starts with an empty state, and the router becomes another node.
type State struct {
	path string
	say  func(format string, args ...any)
	// copied is the content of the copy, and stuck is true if the copy can't be written.
	copied []byte
	seen   os.FileInfo
	stuck  bool
}

// OpenState opens the state in a directory below the container's root.
func OpenState(root, dir string, say func(format string, args ...any)) *State {
	s := &State{path: filepath.Join(root, dir, "tailscaled.state"), say: say}
	s.copied, _ = os.ReadFile(s.good())
	return s
}

func (s *State) good() string { return s.path + ".good" }

// whole reports whether a text is a complete state as the daemon writes it, not cut short or overwritten.
func whole(text []byte) bool {
	var values map[string][]byte
	return json.Unmarshal(text, &values) == nil && values != nil
}

// repair replaces a damaged state with its good copy. A missing state is not damaged. The copy is moved, which also
// works on a full volume.
func (s *State) repair() {
	text, err := os.ReadFile(s.path)
	if os.IsNotExist(err) || whole(text) {
		return
	}
	if whole(s.copied) {
		if os.Rename(s.good(), s.path) == nil {
			s.copied = nil
			s.say("%s was damaged: replaced it with its last good copy", s.path)
		}
		return
	}
	// Only the daemon can tell whether it is complete.
	if text = bytes.TrimSpace(text); len(text) > 1 && text[0] == '{' && text[len(text)-1] == '}' {
		return
	}
	if os.Rename(s.path, s.path+".bad") == nil {
		s.say("%s is damaged, and there is no good copy of it: the router has to log in again; the damaged file is now %s.bad", s.path, s.path)
	}
}

// clear removes the leftovers of interrupted writes.
func (s *State) clear() {
	entries, _ := os.ReadDir(filepath.Dir(s.path))
	for _, e := range entries {
		for _, begin := range []string{filepath.Base(s.path) + ".tmp", "derpmap.cached.json.tmp"} {
			if strings.HasPrefix(e.Name(), begin) {
				_ = os.Remove(filepath.Join(filepath.Dir(s.path), e.Name()))
			}
		}
	}
}

// Spare copies the state if it has changed. Each write wears the flash.
func (s *State) Spare() {
	info, err := os.Stat(s.path)
	if err != nil || s.seen != nil && s.seen.Size() == info.Size() && s.seen.ModTime().Equal(info.ModTime()) && os.SameFile(s.seen, info) {
		return
	}
	text, err := os.ReadFile(s.path)
	if err != nil || !whole(text) {
		return
	}
	if !bytes.Equal(text, s.copied) {
		if err := write(s.good(), text); err != nil {
			if !s.stuck {
				s.say("can't copy the state to %s: %v", s.good(), err)
			}
			s.stuck = true
			return
		}
	}
	s.copied, s.seen, s.stuck = text, info, false
}

// write writes a file completely or not at all, even if the power fails.
func write(path string, text []byte) error {
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}
