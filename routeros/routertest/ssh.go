package routertest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Server is a router with an SSH server on loopback, for commands and files.
type Server struct {
	*Router
	// Address is the host and port to connect to.
	Address string
	// HostKey is the router's host key.
	HostKey ssh.PublicKey
	// User can log in with Password or, if it is not nil, with Key.
	User, Password string
	Key            ssh.PublicKey
	// OnUpload is called after each part of a file that arrives, with the size so far.
	OnUpload func(s *Server, name string, size int)
	// OnImport is called before a script is imported.
	OnImport func(s *Server, name string)

	t        testing.TB
	listener net.Listener
	signer   ssh.Signer
	router   sync.Mutex // one console at a time

	mu     sync.Mutex
	open   map[net.Conn]bool
	gone   bool
	served sync.WaitGroup
}

// Serve makes a router reachable until the test ends. Change the server's fields before the first connection.
func Serve(t testing.TB, r *Router) *Server {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Router: r, Address: l.Addr().String(), HostKey: signer.PublicKey(), User: "admin", Password: "s3cret",
		t: t, listener: l, signer: signer, open: map[net.Conn]bool{},
	}
	s.served.Go(s.accept)
	t.Cleanup(s.Finish)
	return s
}

// Disconnect ends all connections, and still accepts new ones.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for wire := range s.open {
		_ = wire.Close()
	}
}

// Vanish ends all connections, and accepts no new ones.
func (s *Server) Vanish() {
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	_ = s.listener.Close()
	s.Disconnect()
}

// Finish ends all connections and waits until nothing uses the router.
func (s *Server) Finish() {
	s.Vanish()
	s.served.Wait()
}

func (s *Server) accept() {
	for {
		wire, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.gone {
			_ = wire.Close()
		}
		s.open[wire] = true
		s.mu.Unlock()
		s.served.Go(func() {
			s.serve(wire)
			_ = wire.Close()
			s.mu.Lock()
			delete(s.open, wire)
			s.mu.Unlock()
		})
	}
}

func (s *Server) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		PasswordCallback: func(who ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if who.User() != s.User || string(password) != s.Password {
				return nil, errors.New("wrong password")
			}
			return nil, nil
		},
		PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if who.User() != s.User || s.Key == nil || !bytes.Equal(key.Marshal(), s.Key.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	c.AddHostKey(s.signer)
	return c
}

func (s *Server) serve(wire net.Conn) {
	conn, channels, requests, err := ssh.NewServerConn(wire, s.config())
	if err != nil {
		return
	}
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer func() { _ = conn.Close() }()
	sessions.Go(func() {
		for r := range requests {
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	})
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { s.session(channel, requests) })
	}
}

func (s *Server) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	for r := range requests {
		var asked struct{ Text string }
		if err := ssh.Unmarshal(r.Payload, &asked); err != nil || r.Type != "exec" && asked.Text != "sftp" {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		if r.Type == "exec" {
			s.exec(channel, asked.Text)
			// RouterOS returns an exit status that means nothing.
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
			return
		}
		files := &files{s}
		server := sftp.NewRequestServer(channel, sftp.Handlers{FileGet: files, FilePut: files, FileCmd: files, FileList: files})
		_ = server.Serve()
		return
	}
}

// exec runs commands on the console, and prints their output.
func (s *Server) exec(channel io.Writer, commands string) {
	s.router.Lock()
	defer s.router.Unlock()
	defer func() {
		if mistake := recover(); mistake != nil {
			s.t.Errorf("%v in %s", mistake, commands)
			_, _ = fmt.Fprint(channel, "bad command name\r\n")
		}
	}()
	if name, ok := strings.CutPrefix(commands, `/import file-name="`); ok && s.OnImport != nil {
		name, _, _ = strings.Cut(name, `"`)
		s.OnImport(s, name)
	}
	said := len(s.Said)
	err := s.Run(commands)
	for _, line := range s.Said[said:] {
		_, _ = fmt.Fprintf(channel, "%s\r\n", line)
	}
	if err != nil {
		_, _ = fmt.Fprintf(channel, "%v\r\n", err)
	}
}

// files shows the router's files over SFTP.
type files struct{ s *Server }

func name(of string) string { return strings.Trim(of, "/") }

func (f *files) find(path string) *Entry {
	for _, e := range f.s.Tables["/file"] {
		if e.Values["name"] == name(path) {
			return e
		}
	}
	return nil
}

// parent reports whether the directory of a file exists.
func (f *files) parent(of string) bool {
	dir := path.Dir(name(of))
	return dir == "." || f.find(dir) != nil
}

func (f *files) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	f.s.router.Lock()
	defer f.s.router.Unlock()
	e := f.find(r.Filepath)
	if e == nil {
		return nil, os.ErrNotExist
	}
	return bytes.NewReader(slices.Clone(e.Content)), nil
}

func (f *files) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	f.s.router.Lock()
	defer f.s.router.Unlock()
	if !f.parent(r.Filepath) {
		return nil, os.ErrNotExist
	}
	e := f.find(r.Filepath)
	if e == nil {
		e = f.s.Put("/file", "name", name(r.Filepath))
	}
	e.Content = nil
	e.Values["size"], e.Values["last-modified"] = int64(0), "2026-11-25 12:00:00"
	return writer{f.s, e}, nil
}

type writer struct {
	s *Server
	e *Entry
}

func (w writer) WriteAt(p []byte, at int64) (int, error) {
	w.s.router.Lock()
	e := w.e
	if grown := int(at) + len(p); grown > len(e.Content) {
		e.Content = append(e.Content, make([]byte, grown-len(e.Content))...)
	}
	copy(e.Content[at:], p)
	e.Values["size"] = int64(len(e.Content))
	w.s.router.Unlock()
	if w.s.OnUpload != nil {
		w.s.OnUpload(w.s, e.Values["name"].(string), len(e.Content))
	}
	return len(p), nil
}

func (f *files) Filecmd(r *sftp.Request) error {
	f.s.router.Lock()
	defer f.s.router.Unlock()
	switch {
	case r.Method == "Mkdir" && f.parent(r.Filepath) && f.find(r.Filepath) == nil:
		f.s.Put("/file", "name", name(r.Filepath))
		return nil
	case r.Method == "Mkdir":
		return os.ErrNotExist
	}
	return sftp.ErrSSHFxOpUnsupported
}

func (f *files) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	f.s.router.Lock()
	defer f.s.router.Unlock()
	e := f.find(r.Filepath)
	if e == nil {
		return nil, os.ErrNotExist
	}
	return listing{info{name(r.Filepath), int64(len(e.Content))}}, nil
}

// listing is the listing of a single file.
type listing []os.FileInfo

func (l listing) ListAt(to []os.FileInfo, from int64) (int, error) {
	n := copy(to, l[min(int(from), len(l)):])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

type info struct {
	name string
	size int64
}

func (i info) Name() string       { return path.Base(i.name) }
func (i info) Size() int64        { return i.size }
func (i info) Mode() os.FileMode  { return 0o644 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
