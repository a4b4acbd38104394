package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The daemon's states, under the names of its LocalAPI.
const (
	NoState          = "NoState"
	NeedsLogin       = "NeedsLogin"
	NeedsMachineAuth = "NeedsMachineAuth"
	Stopped          = "Stopped"
	Starting         = "Starting"
	Running          = "Running"
)

// Event is a report from the daemon. Fields that haven't changed are empty.
type Event struct {
	State string
	// LoginURL is the address at which a person can log the router in.
	LoginURL string
	// Refused is why the control server refused to log the router in.
	Refused string
	// Unreachable is why an attempt to log in got no answer. The daemon keeps trying by itself.
	Unreachable string
	// Forgotten is true if the control server answered as if it didn't know the router.
	Forgotten bool
	// Changed is true if settings have changed, LoggedIn if the control server has accepted the router, and LoggedOut
	// if a person has logged the router out.
	Changed, LoggedIn, LoggedOut bool
	// At is the time of the event.
	At time.Time
}

// Daemon is the running daemon.
type Daemon interface {
	// Watch reports events, starting with the current state, until the connection to the daemon ends.
	Watch(ctx context.Context, report func(Event)) error
	// Profile returns the control server of the current profile, and whether it has logged in there before.
	Profile(ctx context.Context) (server string, registered bool, err error)
	// SameServer reports whether two addresses lead to the same control server.
	SameServer(a, b string) bool
	// SwitchServer switches to the profile of another control server, a new one if there is none.
	SwitchServer(ctx context.Context, server string) error
	// Login passes a key and settings to the daemon. The daemon keeps trying until the control server answers. With
	// an empty key, the daemon gets an address at which a person can log in.
	Login(ctx context.Context, key Key, flags []Flag, reset bool) error
	// Restart restarts the connection to the control server: an attempt to log in ends, and the router registers with
	// its current node key.
	Restart(ctx context.Context) error
	// Apply changes the daemon's settings to those of the flags. With reset, all other settings get their defaults,
	// and a stopped daemon runs again. It writes nothing if nothing differs.
	Apply(ctx context.Context, flags []Flag, reset bool) error
}

// Follower logs the router in and maintains its settings while the container is running.
type Follower struct {
	Settings Settings
	Daemon   Daemon
	Logf     func(format string, args ...any)
	Now      func() time.Time
	// Notify is called with the daemon's state, at every event and tick.
	Notify func(state string)

	state string
	// applied is true after all settings were applied once, and dirty if they have to be checked again.
	applied, dirty bool
	// serverChecked is true after the control server was compared with the profile's.
	serverChecked bool
	// pending is when the current login was started, or zero.
	pending time.Time
	// tried is the key that was used last. If the control server refuses it, it is used again at retry.
	tried Key
	pause time.Duration
	retry time.Time
	// cancel is true if the daemon has to be told to stop trying.
	cancel bool
	// forgotten counts the control server's recent answers that it doesn't know the router, and forgottenAt is the time
	// of the last one. The router may register again at nextRegister, and registerPause between attempts grows.
	forgotten     int
	forgottenAt   time.Time
	nextRegister  time.Time
	registerPause time.Duration
	// registering is true while the router registers again. Until the control server accepts it, the daemon is in the
	// state Running with its last knowledge of the tailnet.
	registering bool
	// waiting is true if the daemon has a URL at which a person can log in.
	waiting bool
	logged  map[string]bool
}

// Tick is how often the supervisor checks what the daemon doesn't report: key files and the time.
const Tick = 5 * time.Second

const (
	firstPause = time.Second
	// longestPause keeps a router's log readable: each attempt takes about ten lines.
	longestPause = 15 * time.Minute
	// recoveredAfter is how long after the last answer that it doesn't know the router the control server is taken to
	// know it again. The daemon asks at least every few minutes.
	recoveredAfter = time.Hour
)

// Follow runs until the context ends.
func (f *Follower) Follow(ctx context.Context) {
	f.logged = map[string]bool{}
	events := make(chan Event)
	go func() {
		for ctx.Err() == nil {
			_ = f.Daemon.Watch(ctx, func(e Event) {
				select {
				case events <- e:
				case <-ctx.Done():
				}
			})
			// The daemon is starting, or too busy to report.
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
	ticker := time.NewTicker(Tick)
	defer ticker.Stop()
	began := f.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			f.handle(e)
			f.act(ctx)
		case <-ticker.C:
			if f.state == "" && f.Now().Sub(began) > time.Minute {
				f.once("tailscaled does not answer yet: waiting")
			}
			f.act(ctx)
		}
		f.Notify(f.state)
	}
}

// once writes a line to the log, unless it has been written since the router was last logged in.
func (f *Follower) once(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !f.logged[line] {
		f.logged[line] = true
		f.Logf("%s", line)
	}
}

// handle handles an event.
func (f *Follower) handle(e Event) {
	if f.registering {
		switch {
		case e.LoggedIn:
			f.registering, f.forgotten, e.State = false, 0, Running
		case e.LoginURL != "" && f.state == Running:
			f.state, e.LoginURL = NeedsLogin, ""
		case e.State == NoState, e.State == Starting, e.State == Running:
			e.State = ""
		}
	}
	if e.State != "" && e.State != f.state {
		f.state = e.State
		f.dirty = true
		switch e.State {
		case Running:
			if len(f.logged) > 0 {
				f.Logf("logged in")
			}
			f.pending, f.tried, f.pause, f.waiting, f.cancel = time.Time{}, Key{}, 0, false, false
			f.logged = map[string]bool{}
		case NeedsLogin:
			f.recover()
			f.registering = false
		case Stopped:
			f.pending, f.registering = time.Time{}, false
		}
	}
	if e.Forgotten && f.state == Running {
		if e.At.Sub(f.forgottenAt) > recoveredAfter {
			f.recover()
		}
		f.forgotten++
		f.forgottenAt = e.At
	}
	if e.LoggedOut {
		f.pending, f.waiting = time.Time{}, false
	}
	f.dirty = f.dirty || e.Changed
	pending := !f.pending.IsZero() && !e.At.Before(f.pending)
	switch {
	case e.Refused != "" && pending:
		f.rejected(e.Refused)
	case e.LoginURL != "" && pending && !f.waiting:
		f.rejected("the control server asks somebody to log in at " + e.LoginURL)
	case e.LoginURL != "" && f.state != Running && f.Settings.Wanted:
		f.once("to log this router in, visit %s", e.LoginURL)
	case e.Unreachable != "" && pending:
		f.once("the control server can't be reached yet, the daemon keeps trying: %s", e.Unreachable)
	}
}

// rejected records that the control server refused the key.
func (f *Follower) rejected(reason string) {
	f.pending, f.waiting, f.cancel = time.Time{}, false, true
	f.pause = min(max(firstPause, 2*f.pause), longestPause)
	f.retry = f.Now().Add(f.pause)
	f.once("not logged in: %s; trying again from time to time, and as soon as the key changes", f.redactKey(reason))
	if strings.HasPrefix(f.tried.Auth, "tskey-client-") {
		f.once("the key is the secret of an OAuth client: it needs an image built with --features=+oauthkey, and --advertise-tags=tag:NAME in TS_EXTRA_ARGS")
	}
}

// redactKey removes the key from a text.
func (f *Follower) redactKey(text string) string {
	for _, secret := range []string{f.tried.Auth, f.tried.ClientSecret, f.tried.IDToken} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(the key)")
		}
	}
	return text
}

// act does what the daemon's state requires.
func (f *Follower) act(ctx context.Context) {
	if f.state == "" || !f.Settings.Wanted {
		return
	}
	if f.cancel {
		// Otherwise the daemon would use the key again and again.
		err := f.Daemon.Restart(ctx)
		if err != nil {
			f.once("can't stop the attempt to log in: %v", err)
		}
		f.cancel = err != nil
	}
	f.reregister(ctx)
	if !f.useServer(ctx) {
		return
	}
	switch f.state {
	case NeedsLogin:
		f.login(ctx)
		return
	case Stopped:
		if f.applied {
			f.once("the router is disconnected, for example by \"tailscale down\": run \"tailscale up\" to connect it")
		}
	case NeedsMachineAuth:
		f.once("logged in, and waiting for approval: approve this machine in the tailnet's admin console")
	}
	f.apply(ctx)
}

// reregister registers the router again if the control server has forgotten it, for example because the node was
// removed there. The daemon itself would keep asking for the network map, and stay in the state Running.
func (f *Follower) reregister(ctx context.Context) {
	// A control server that has just started may not know any node yet.
	if f.forgotten < 3 || f.Now().Before(f.nextRegister) {
		return
	}
	f.forgotten, f.registering = 0, true
	f.registerPause = min(max(time.Minute, 2*f.registerPause), longestPause)
	f.nextRegister = f.Now().Add(f.registerPause)
	f.once(registeringAgain)
	if err := f.Daemon.Restart(ctx); err != nil {
		f.registering = false
		f.once("can't register again: %v", err)
	}
}

const registeringAgain = "the control server no longer knows this router: registering again"

// recover forgets earlier losses of the registration, so that the next one is handled and logged like the first one.
func (f *Follower) recover() {
	f.forgotten, f.registerPause, f.nextRegister = 0, 0, time.Time{}
	delete(f.logged, registeringAgain)
}

// useServer switches to a profile for the control server in the environment.
func (f *Follower) useServer(ctx context.Context) bool {
	if f.serverChecked || f.Settings.Server == "" {
		return true
	}
	server, registered, err := f.Daemon.Profile(ctx)
	if err != nil {
		f.once("can't read the daemon's profile: %v", err)
		return false
	}
	if !registered || f.Daemon.SameServer(server, f.Settings.Server) {
		f.serverChecked = true
		return true
	}
	f.once("this router is logged in to %s, but TS_LOGIN_SERVER is %s: logging in there", server, redact(f.Settings.Server))
	if err := f.Daemon.SwitchServer(ctx, f.Settings.Server); err != nil {
		f.once("can't switch to %s: %v", redact(f.Settings.Server), err)
		return false
	}
	f.serverChecked = true
	f.pending, f.waiting, f.dirty, f.applied = time.Time{}, false, true, false
	// The new profile reports its own state.
	return false
}

// login logs in with the current key.
func (f *Follower) login(ctx context.Context) {
	if !f.pending.IsZero() {
		return
	}
	key, err := f.Settings.Key.Read()
	if err != nil {
		f.once("can't read the key, waiting for it: %v", err)
		return
	}
	if key.Empty() {
		if f.waiting {
			return
		}
		f.waiting = true
	} else if key == f.tried && f.Now().Before(f.retry) {
		return
	}
	if key != f.tried {
		f.tried, f.pause = key, 0
	}
	f.pending = f.Now()
	reset := !f.Settings.Once && !f.applied
	err = f.Daemon.Login(ctx, key, f.Settings.Flags, reset)
	if refusal := (RefusedSettings{}); errors.As(err, &refusal) {
		f.once("the daemon rejects some of the settings: %v; logging in without them first", refusal.Err)
		err = f.Daemon.Login(ctx, key, f.essential(), reset)
	}
	if err != nil {
		f.rejected(err.Error())
		// The reason may be the network.
		f.pause = min(f.pause, time.Minute)
	}
	if key.Empty() {
		f.pending = time.Time{}
	}
}

// RefusedSettings is the daemon's error about settings that it doesn't accept together.
type RefusedSettings struct{ Err error }

func (e RefusedSettings) Error() string { return e.Err.Error() }

// essential returns the settings that a login needs.
func (f *Follower) essential() (flags []Flag) {
	for _, flag := range f.Settings.Flags {
		if slices.Contains([]string{"login-server", "advertise-tags", "hostname", "netfilter-mode"}, flag.Name) {
			flags = append(flags, flag)
		}
	}
	return flags
}

// apply applies the settings if they may have changed. If the daemon refuses one, the others are still applied.
func (f *Follower) apply(ctx context.Context) {
	if !f.dirty {
		return
	}
	registered := f.state == Running || f.state == Starting || f.state == NeedsMachineAuth
	if !registered {
		_, registered, _ = f.Daemon.Profile(ctx)
	}
	if !registered {
		return
	}
	f.dirty = false
	reset := !f.Settings.Once && !f.applied
	err := f.Daemon.Apply(ctx, f.Settings.Flags, reset)
	if err == nil {
		f.applied = true
		return
	}
	if reset {
		err = f.Daemon.Apply(ctx, f.essential(), true)
		f.applied = err == nil
	}
	var taken []Flag
	for _, flag := range f.Settings.Flags {
		if err := f.Daemon.Apply(ctx, append(taken, flag), false); err != nil {
			f.once("can't apply %s: %v", flag, err)
			// An exit node may become known later.
			f.dirty = true
			continue
		}
		taken = append(taken, flag)
	}
}
