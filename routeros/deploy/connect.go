package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"dagger/mikrotik-tailscale/routeros"
)

// Access is how to log in to routers, and which routers to trust.
type Access struct {
	// Signers are the keys for logging in, for example from an SSH agent.
	Signers []ssh.Signer
	// Password returns the password of a user on a router, for example of admin@192.168.88.1. It is only called after
	// the router has refused the keys. It may be nil.
	Password func(who string) (string, error)
	HostKeys *HostKeys
}

// answerTime is how long a router may take from the connection to the login. The time that people need to answer
// questions doesn't count.
const answerTime = time.Minute

// connection is an SSH connection to a router.
type connection struct {
	client *ssh.Client
}

func dial(ctx context.Context, access Access, a Address) (*connection, error) {
	wire, err := (&net.Dialer{Timeout: answerTime}).DialContext(ctx, "tcp", a.dial())
	if err != nil {
		return nil, err // the error names the address
	}
	if err := checkRemote(wire.RemoteAddr().String()); err != nil {
		_ = wire.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = wire.Close() })
	defer stop()
	client, err := handshake(wire, access, a)
	if err != nil {
		_ = wire.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return &connection{client}, nil
}

// checkRemote refuses a connection that the installation itself would cut.
func checkRemote(address string) error {
	remote, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	if routeros.InTailnet(remote.Addr().Unmap()) {
		return fmt.Errorf("%s is an address in the tailnet, and installing stops the container that carries this connection: want an address outside of the tailnet", remote.Addr())
	}
	return nil
}

// handshake logs in.
func handshake(wire net.Conn, access Access, a Address) (*ssh.Client, error) {
	limit := func() { _ = wire.SetDeadline(time.Now().Add(answerTime)) }
	// unhurried suspends the time limit during a question.
	unhurried := func(ask func() error) error {
		_ = wire.SetDeadline(time.Time{})
		defer limit()
		return ask()
	}
	var methods []ssh.AuthMethod
	var tried []string
	if len(access.Signers) > 0 {
		methods = append(methods, ssh.PublicKeys(access.Signers...))
		tried = append(tried, fmt.Sprintf("%d keys", len(access.Signers)))
	}
	var unasked error
	if access.Password != nil {
		ask := func() (password string, err error) {
			err = unhurried(func() error { password, err = access.Password(a.User + "@" + a.Host); return err })
			unasked = err
			return password, err
		}
		methods = append(methods, ssh.PasswordCallback(ask), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				password, err := ask()
				if err != nil {
					return nil, err
				}
				answers[i] = password
			}
			return answers, nil
		}))
		tried = append(tried, "the password")
	}
	if len(methods) == 0 {
		return nil, errors.New("nothing to log in with: want an SSH agent, a key file or a password")
	}
	var hostKey error
	algorithms := access.HostKeys.algorithms(a)
	limit()
	conn, channels, requests, err := ssh.NewClientConn(wire, a.dial(), &ssh.ClientConfig{
		User: a.User, Auth: methods, HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			hostKey = unhurried(func() error { return access.HostKeys.check(host, remote, key) })
			return hostKey
		},
	})
	switch {
	case err == nil:
	case hostKey != nil:
		return nil, hostKey
	case unasked != nil:
		return nil, unasked
	case strings.Contains(err.Error(), "unable to authenticate"):
		return nil, fmt.Errorf("the router refused the login of %q with %s", a.User, strings.Join(tried, " and "))
	default:
		return nil, fmt.Errorf("connecting to %s: %w", a.dial(), err)
	}
	_ = wire.SetDeadline(time.Time{})
	return ssh.NewClient(conn, channels, requests), nil
}

func (c *connection) close() { _ = c.client.Close() }

// alive reports whether the router still answers.
func (c *connection) alive() bool {
	_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
	return err == nil
}

// errLost is the error of a connection that ended unexpectedly.
var errLost = errors.New("the connection to the router was lost")

// refusal is the console's error message.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

// finished is printed after the commands, because not every RouterOS release returns an exit status.
const finished = "deploy: finished"

// run runs commands on the router's console and returns their output. If a command fails, the error is a refusal. The
// console parses all commands before it runs the first one. Commands that older releases don't know therefore need a
// separate run.
func (c *connection) run(ctx context.Context, commands string) (string, error) {
	s, err := c.client.NewSession()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errLost, err)
	}
	defer func() { _ = s.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	var out output
	s.Stdout, s.Stderr = &out, &out
	err = s.Run(commands + `; :put "` + finished + `"`)
	text := strings.TrimSpace(strings.ReplaceAll(out.String(), "\r", ""))
	if before, ok := strings.CutSuffix(text, finished); ok {
		return strings.TrimSpace(before), nil
	}
	var status *ssh.ExitError
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil && !errors.As(err, &status) && !c.alive():
		return "", errLost
	}
	// The reason is the last line of the output.
	reason := text[strings.LastIndex(text, "\n")+1:]
	if reason == "" {
		reason = "the router printed nothing"
	}
	return text, refusal{reason}
}

// output collects the output from stdout and stderr.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// files calls use with access to the router's files.
func (c *connection) files(use func(*sftp.Client) error) error {
	f, err := sftp.NewClient(c.client)
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = f.Close() }()
	return use(f)
}

// explain returns errLost if an operation failed because the connection is lost.
func (c *connection) explain(err error) error {
	if err != nil && !c.alive() {
		return errLost
	}
	return err
}

// upload writes a file on the router.
func (c *connection) upload(ctx context.Context, to string, from io.Reader, observe func(sent int64)) error {
	err := c.files(func(files *sftp.Client) error {
		// Closing the session ends a write to a router that no longer answers.
		stop := context.AfterFunc(ctx, func() { _ = files.Close() })
		defer stop()
		f, err := files.OpenFile(absolute(to), os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, &counter{ctx: ctx, from: from, observe: observe})
		return errors.Join(err, f.Close())
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("uploading %s: %w", to, c.explain(err))
}

// absolute returns the path of a router's file for SFTP.
func absolute(name string) string { return path.Join("/", name) }

// counter reports how many bytes have been read.
type counter struct {
	ctx     context.Context
	from    io.Reader
	read    int64
	observe func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(p)
	c.read += int64(n)
	c.observe(c.read)
	return n, err
}
