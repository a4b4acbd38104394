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
)

// Access says how to log in to routers, and which of them to trust.
type Access struct {
	// Signers are the keys to log in with, for example those of an agent.
	Signers []ssh.Signer
	// Password returns the password of a user at a router, as in admin@192.168.88.1. It is called only after
	// the keys were refused. Nil if there is none.
	Password func(who string) (string, error)
	HostKeys *HostKeys
}

// answerTime is how long a router may take to answer until somebody is logged in. People who are asked for
// something in between have all the time they want.
const answerTime = time.Minute

// tailnets are the addresses of routers that are reached through the tailnet.
var tailnets = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd7a:115c:a1e0::/48")}

// connection is an SSH connection to a router.
type connection struct {
	client *ssh.Client
}

func dial(ctx context.Context, access Access, a Address) (*connection, error) {
	wire, err := (&net.Dialer{Timeout: answerTime}).DialContext(ctx, "tcp", a.dial())
	if err != nil {
		return nil, err // says what was dialed
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

// checkRemote refuses a way that the installation itself would cut.
func checkRemote(address string) error {
	remote, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	for _, tailnet := range tailnets {
		if tailnet.Contains(remote.Addr().Unmap()) {
			return fmt.Errorf("%s is an address in the tailnet, and the container that carries this connection is stopped in between: want an address that does not lead through it", remote.Addr())
		}
	}
	return nil
}

// handshake logs in.
func handshake(wire net.Conn, access Access, a Address) (*ssh.Client, error) {
	limit := func() { _ = wire.SetDeadline(time.Now().Add(answerTime)) }
	// unhurried takes the limit away while somebody is asked.
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

// alive says whether the router still answers.
func (c *connection) alive() bool {
	_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
	return err == nil
}

// errLost is what remains of a connection that ended by itself.
var errLost = errors.New("the connection to the router was lost")

// refusal is what the router's console said in place of doing what it was told.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

// finished is printed after a command. Not every release tells an exit status.
const finished = "deploy: finished"

// run runs commands on the router's console, and returns what they print. It returns a refusal if one of
// them fails. The console reads everything before it runs anything, so commands that an older release
// doesn't know need a run of their own.
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
	// The reason is the last thing that the console says.
	reason := text[strings.LastIndex(text, "\n")+1:]
	if reason == "" {
		reason = "the router said nothing"
	}
	return text, refusal{reason}
}

// output collects what a command prints in two places.
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

// files gives the router's files to use.
func (c *connection) files(use func(*sftp.Client) error) error {
	f, err := sftp.NewClient(c.client)
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = f.Close() }()
	return use(f)
}

// explain says whether something failed because the connection is gone.
func (c *connection) explain(err error) error {
	if err != nil && !c.alive() {
		return errLost
	}
	return err
}

// upload writes a file on the router.
func (c *connection) upload(ctx context.Context, to string, from io.Reader, observe func(sent int64)) error {
	err := c.files(func(files *sftp.Client) error {
		// Closing it ends a write that waits for a router which has gone.
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

// absolute is a path on the router as SFTP has it.
func absolute(name string) string { return path.Join("/", name) }

// counter tells how much was read.
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
