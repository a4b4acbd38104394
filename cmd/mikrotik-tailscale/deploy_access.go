package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/pflag"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"dagger/mikrotik-tailscale/routeros/deploy"
)

// deploySecretForms are the forms of a secret in a command that may ask for it.
const deploySecretForms = "env://NAME, file://PATH or prompt"

// terminal is a terminal for questions, or nil.
type terminal struct {
	mu sync.Mutex
	in *os.File
	w  io.Writer
}

// newTerminal returns the terminal of the command, or nil if there is none.
func newTerminal(w io.Writer) *terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	return &terminal{in: os.Stdin, w: w}
}

// secret asks for a value without showing it on the screen.
func (t *terminal) secret(ctx context.Context, question string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The echo is switched off before the question, so that a quick answer is not shown either.
	fd := int(t.in.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("asking for a secret: %w", err)
	}
	quiet := *before
	quiet.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return "", fmt.Errorf("asking for a secret: %w", err)
	}
	defer func() {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, before)
		_, _ = fmt.Fprintln(t.w)
	}()
	answer, err := t.line(ctx, question+": ")
	return strings.TrimRight(answer, "\r\n"), err
}

// confirm asks a yes/no question.
func (t *terminal) confirm(ctx context.Context, question string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	answer, err := t.line(ctx, question+" [y/N] ")
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", err
}

// line reads one line. It stops early if ctx ends.
func (t *terminal) line(ctx context.Context, question string) (string, error) {
	_, _ = fmt.Fprint(t.w, question)
	type reply struct {
		text string
		err  error
	}
	answered := make(chan reply, 1)
	go func() {
		text, err := bufio.NewReader(t.in).ReadString('\n')
		answered <- reply{text, err}
	}()
	select {
	case r := <-answered:
		return r.text, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// askSecret reads a secret from the place that an option names, or asks for it.
func askSecret(ctx context.Context, t *terminal, option, what, place string) (string, error) {
	switch {
	case place == "prompt" && t == nil:
		return "", fmt.Errorf("--%s prompt needs a terminal: want %s", option, secretForms)
	case place == "prompt":
		return t.secret(ctx, what)
	}
	return readSecretFrom(option, place, deploySecretForms)
}

// readAuthKey reads the login key for the tailnet. Errors do not repeat it.
func readAuthKey(ctx context.Context, t *terminal, place string) (string, error) {
	key, err := askSecret(ctx, t, "auth-key", "Auth key", place)
	if err == nil && strings.ContainsAny(key, " \t\r\n") {
		err = errors.New("the auth key from --auth-key contains blanks or several lines: want one key")
	}
	return key, err
}

// accessOptions are the options on how to log in to routers, and which ones to trust.
type accessOptions struct {
	identities                       []string
	passphrase, password, knownHosts string
}

func (o *accessOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.password, "password", "", "place of the routers' password: "+deploySecretForms+" (default: asked for on a terminal if no key is accepted)")
	flags.StringSliceVar(&o.identities, "identity", nil, "SSH key files to log in with (default the agent's keys, and id_ed25519, id_ecdsa and id_rsa in ~/.ssh)")
	flags.StringVar(&o.passphrase, "passphrase", "", "place of the key files' passphrase: "+deploySecretForms+" (default: asked for on a terminal)")
	flags.StringVar(&o.knownHosts, "known-hosts", "", "file of known host keys (default ~/.ssh/known_hosts)")
}

// open reads keys and known hosts. done closes the connection to the agent.
func (o *accessOptions) open(ctx context.Context, t *terminal) (a deploy.Access, done func(), err error) {
	done = func() {}
	home, err := os.UserHomeDir()
	if err != nil {
		return a, done, err
	}
	directory := filepath.Join(home, ".ssh")
	hosts := o.knownHosts
	if hosts == "" {
		hosts = filepath.Join(directory, "known_hosts")
	} else if _, err := os.Stat(hosts); err != nil && t == nil {
		return a, done, fmt.Errorf("reading --known-hosts: %w", err)
	}
	var confirm func(string) (bool, error)
	if t != nil {
		confirm = func(question string) (bool, error) { return t.confirm(ctx, question) }
	}
	if a.HostKeys, err = deploy.LoadHostKeys(hosts, confirm); err != nil {
		return a, done, err
	}
	if a.Password, err = o.passwords(ctx, t); err != nil {
		return a, done, err
	}
	a.Signers, err = o.keyFiles(ctx, t, directory)
	if err != nil {
		return a, done, err
	}
	if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" && len(o.identities) == 0 {
		// Without the agent, other keys or a password may work.
		if conn, err := net.Dial("unix", socket); err == nil {
			done = func() { _ = conn.Close() }
			if signers, err := agent.NewClient(conn).Signers(); err == nil {
				a.Signers = append(signers, a.Signers...)
			}
		}
	}
	if len(a.Signers) == 0 && a.Password == nil {
		return a, done, errors.New("nothing to log in with: want an SSH agent, a key file with --identity, or --password")
	}
	return a, done, nil
}

// passwords returns a function that returns a router's password, or nil.
func (o *accessOptions) passwords(ctx context.Context, t *terminal) (func(string) (string, error), error) {
	if o.password != "" && o.password != "prompt" || t == nil {
		password, err := askSecret(ctx, t, "password", "Password", o.password)
		if err != nil || o.password == "" {
			return nil, err
		}
		return func(string) (string, error) { return password, nil }, nil
	}
	var mu sync.Mutex
	known := map[string]string{}
	return func(who string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := known[who]; !ok {
			password, err := t.secret(ctx, "Password of "+who)
			if err != nil {
				return "", err
			}
			known[who] = password
		}
		return known[who], nil
	}, nil
}

// keyFiles reads the keys that the user names. The default is the usual files, if they exist and need no passphrase.
func (o *accessOptions) keyFiles(ctx context.Context, t *terminal, directory string) (all []ssh.Signer, err error) {
	files, named := o.identities, len(o.identities) > 0
	if !named {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			files = append(files, filepath.Join(directory, name))
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && !named {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the key file: %w", err)
		}
		signer, err := ssh.ParsePrivateKey(text)
		if errors.As(err, new(*ssh.PassphraseMissingError)) && (named || o.passphrase != "") {
			signer, err = o.unlock(ctx, t, file, text)
		}
		switch {
		case err == nil:
			all = append(all, signer)
		case named || !errors.As(err, new(*ssh.PassphraseMissingError)):
			return nil, fmt.Errorf("reading the key file %s: %w", file, err)
		}
	}
	return all, nil
}

func (o *accessOptions) unlock(ctx context.Context, t *terminal, file string, text []byte) (ssh.Signer, error) {
	place := o.passphrase
	if place == "" && t == nil {
		return nil, errors.New("it needs a passphrase: want --passphrase or an SSH agent")
	}
	if place == "" {
		place = "prompt"
	}
	passphrase, err := askSecret(ctx, t, "passphrase", "Passphrase of "+file, place)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
}
