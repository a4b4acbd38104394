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
	logf func(format string, args ...any)
	// copied is the content of the copy. failing is true if the last attempt to write the copy failed.
	copied  []byte
	seen    os.FileInfo
	failing bool
}

// OpenState opens the state in a directory below the container's root.
func OpenState(root, dir string, logf func(format string, args ...any)) *State {
	s := &State{path: filepath.Join(root, dir, "tailscaled.state"), logf: logf}
	s.copied, _ = os.ReadFile(s.backupPath())
	return s
}

func (s *State) backupPath() string { return s.path + ".good" }

// isComplete reports whether a text is a complete state as the daemon writes it, neither truncated nor overwritten.
func isComplete(text []byte) bool {
	var values map[string][]byte
	return json.Unmarshal(text, &values) == nil && values != nil
}

// repair replaces a damaged state with its good copy. A missing state is not damaged. It moves the copy, because that
// also works on a full volume.
func (s *State) repair() {
	text, err := os.ReadFile(s.path)
	if os.IsNotExist(err) || isComplete(text) {
		return
	}
	if isComplete(s.copied) {
		if os.Rename(s.backupPath(), s.path) == nil {
			s.copied = nil
			s.logf("%s was damaged: replaced it with its last good copy", s.path)
		}
		return
	}
	// Only the daemon can tell whether it is complete.
	if text = bytes.TrimSpace(text); len(text) > 1 && text[0] == '{' && text[len(text)-1] == '}' {
		return
	}
	if os.Rename(s.path, s.path+".bad") == nil {
		s.logf("%s is damaged, and there is no good copy of it: the router has to log in again; the damaged file is now %s.bad", s.path, s.path)
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

// Backup copies the state if it has changed. Each write wears the flash.
func (s *State) Backup() {
	info, err := os.Stat(s.path)
	if err != nil || s.seen != nil && s.seen.Size() == info.Size() && s.seen.ModTime().Equal(info.ModTime()) && os.SameFile(s.seen, info) {
		return
	}
	text, err := os.ReadFile(s.path)
	if err != nil || !isComplete(text) {
		return
	}
	if !bytes.Equal(text, s.copied) {
		if err := write(s.backupPath(), text); err != nil {
			if !s.failing {
				s.logf("can't copy the state to %s: %v", s.backupPath(), err)
			}
			s.failing = true
			return
		}
	}
	s.copied, s.seen, s.failing = text, info, false
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
