package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// HostKeys are the known host keys of routers.
type HostKeys struct {
	path string
	// confirm asks a person whether a router's key is right. It is nil if nobody can be asked.
	confirm func(question string) (bool, error)

	mu    sync.Mutex
	known *knownhosts.HostKeyDB
}

// LoadHostKeys reads a known_hosts file, which may be missing. If confirm is not nil, it is called for unknown
// routers, and the file gets the keys that it accepts.
func LoadHostKeys(path string, confirm func(question string) (bool, error)) (*HostKeys, error) {
	h := &HostKeys{path: path, confirm: confirm}
	return h, h.load()
}

func (h *HostKeys) load() (err error) {
	files := []string{h.path}
	if _, err := os.Stat(h.path); errors.Is(err, fs.ErrNotExist) {
		files = nil
	}
	if h.known, err = knownhosts.NewDB(files...); err != nil {
		return fmt.Errorf("reading the known routers: %w", err)
	}
	return nil
}

// algorithms returns the algorithms of a router's known keys, so that the router doesn't present another key.
func (h *HostKeys) algorithms(a Address) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known.HostKeyAlgorithms(a.dial())
}

func (h *HostKeys) check(host string, remote net.Addr, key ssh.PublicKey) error {
	// The lock allows one question at a time, and asks about each router once.
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.known.HostKeyCallback()(host, remote, key)
	fingerprint := key.Type() + " " + ssh.FingerprintSHA256(key)
	switch {
	case err == nil:
		return nil
	case knownhosts.IsHostKeyChanged(err):
		return fmt.Errorf("the host key of %s has changed to %s, so this may be another router: if it was reset or replaced, remove its line from %s", host, fingerprint, h.path)
	case !knownhosts.IsHostUnknown(err):
		return fmt.Errorf("checking the host key of %s: %w", host, err)
	case h.confirm == nil:
		return fmt.Errorf("unknown host key of %s: %s; if it is right, add it to %s, for example with ssh", host, fingerprint, h.path)
	}
	yes, err := h.confirm(fmt.Sprintf("The host key of %s is unknown: %s. Is it right?", host, fingerprint))
	if err != nil {
		return err
	}
	if !yes {
		return fmt.Errorf("the host key of %s was not accepted", host)
	}
	if err := h.remember(host, remote, key); err != nil {
		return fmt.Errorf("adding the host key of %s to %s: %w", host, h.path, err)
	}
	return h.load()
}

func (h *HostKeys) remember(host string, remote net.Addr, key ssh.PublicKey) error {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(knownhosts.WriteKnownHost(f, host, remote, key), f.Close())
}
