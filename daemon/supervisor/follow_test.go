package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a daemon whose control server accepts one key.
type fake struct {
	events chan Event
	// good is the key that the control server accepts. If spent is true, it refuses every key afterwards.
	good  string
	once  bool
	away  bool
	state string

	server     string
	registered bool
	// forgotten is true if the control server doesn't know the router any more.
	forgotten bool
	// busy is how many restarts the daemon refuses.
	busy int
	// refuses is a flag that the daemon doesn't accept.
	refuses string
	prefs   []Flag

	logins, restarts, edits int
	keys                    []string
	lines                   []string
}

func (d *fake) Watch(ctx context.Context, report func(Event)) error {
	report(Event{State: d.state, At: time.Now()})
	for {
		select {
		case e := <-d.events:
			e.At = time.Now()
			report(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *fake) Profile(context.Context) (string, bool, error) { return d.server, d.registered, nil }

func (d *fake) SameServer(a, b string) bool { return a == b }

func (d *fake) SwitchServer(_ context.Context, server string) error {
	d.server, d.registered = "", false
	d.to(NeedsLogin)
	return nil
}

// to changes the state, and reports it.
func (d *fake) to(state string) {
	d.state = state
	d.events <- Event{State: state}
}

func (d *fake) check(flags []Flag) error {
	for _, f := range flags {
		if f.Name == d.refuses {
			return RefusedSettings{errors.New("no " + f.Name + " here")}
		}
	}
	return nil
}

func (d *fake) Login(_ context.Context, key Key, flags []Flag, _ bool) error {
	if err := d.check(flags); err != nil {
		return err
	}
	d.logins++
	d.keys = append(d.keys, key.Auth)
	for _, f := range flags {
		if f.Name == "login-server" {
			d.server = f.Value
		}
	}
	d.prefs = flags
	switch {
	case d.away:
		d.events <- Event{Unreachable: "dial tcp: no route to host"}
	case key.Empty():
		d.events <- Event{LoginURL: "https://login.example/a/1"}
	case key.Auth != d.good:
		d.events <- Event{Refused: "invalid key " + key.Auth}
	default:
		if d.once {
			d.good = ""
		}
		d.registered, d.forgotten = true, false
		d.state = Running
		d.events <- Event{State: Running, LoggedIn: true}
	}
	return nil
}

func (d *fake) Restart(context.Context) error {
	if d.busy > 0 {
		d.busy--
		return errors.New("the daemon is busy")
	}
	d.restarts++
	switch {
	case !d.registered:
	case d.forgotten:
		d.events <- Event{State: NoState}
		d.events <- Event{State: Starting}
		d.events <- Event{State: Running}
		d.events <- Event{LoginURL: "https://login.example/a/2"}
	default:
		d.events <- Event{State: Running}
		d.events <- Event{LoggedIn: true}
	}
	return nil
}

func (d *fake) Apply(_ context.Context, flags []Flag, _ bool) error {
	if err := d.check(flags); err != nil {
		return err
	}
	if !reflect.DeepEqual(flags, d.prefs) {
		d.edits++
		d.prefs = slices.Clone(flags)
	}
	return nil
}

func (d *fake) log() string { return strings.Join(d.lines, "\n") }

// follow runs a supervisor with a fake daemon, in a world whose time passes whenever nothing else is running.
func follow(t *testing.T, d *fake, s Settings, during func(d *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d.events = make(chan Event, 10)
		f := Follower{Settings: s, Daemon: d, Now: time.Now, Notify: func(string) {},
			Logf: func(format string, args ...any) { d.lines = append(d.lines, fmt.Sprintf(format, args...)) }}
		done := make(chan struct{})
		go func() { f.Follow(ctx); close(done) }()
		synctest.Wait()
		during(d)
		cancel()
		<-done
	})
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func withKey(key string) Settings { return Settings{Key: Key{Auth: key}, Wanted: true} }

func TestALoggedOutRouterLogsInWithItsKey(t *testing.T) {
	follow(t, &fake{state: NeedsLogin, good: "key"}, withKey("key"), func(d *fake) {
		if d.state != Running || d.logins != 1 {
			t.Errorf("the state is %s after %d logins", d.state, d.logins)
		}
	})
}

func TestALoggedInRouterNeverSendsAKey(t *testing.T) {
	for _, state := range []string{Running, Starting, NoState, Stopped, NeedsMachineAuth} {
		follow(t, &fake{state: state, registered: true, good: "key"}, withKey("key"), func(d *fake) {
			pass(time.Hour)
			if d.logins != 0 {
				t.Errorf("in the state %s the key was used", state)
			}
		})
	}
}

// The node key expires, or the node is deleted, hours after the start.
func TestARouterThatIsLoggedOutLaterLogsInAgain(t *testing.T) {
	follow(t, &fake{state: Running, registered: true, good: "key"}, withKey("key"), func(d *fake) {
		for range 3 {
			pass(30 * time.Hour)
			d.to(NeedsLogin)
			pass(time.Minute)
			if d.state != Running {
				t.Fatalf("the state is %s:\n%s", d.state, d.log())
			}
		}
		if d.logins != 3 {
			t.Errorf("%d logins", d.logins)
		}
	})
}

// The daemon of a removed node stays in the state Running, and keeps asking a control server that doesn't know it.
func TestARouterThatTheControlServerForgotRegistersAgain(t *testing.T) {
	const forgotten = "the control server no longer knows this router: registering again"
	for name, c := range map[string]struct {
		key    string
		logins int
		log    string
	}{
		"good key": {"good", 1, forgotten + "\nlogged in"},
		"bad key": {"bad", 1, forgotten + "\nnot logged in: invalid key (the key); trying again from time to time, and as soon as the key changes" +
			"\nto log this router in, visit https://login.example/a/2"},
		"no key": {"", 1, forgotten + "\nto log this router in, visit https://login.example/a/1"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &fake{state: Running, registered: true, good: "good", forgotten: true}
			follow(t, d, withKey(c.key), func(d *fake) {
				for range 2 {
					d.events <- Event{Forgotten: true}
				}
				pass(time.Minute)
				if d.restarts != 0 {
					t.Error("two answers are enough")
				}
				d.events <- Event{Forgotten: true}
				pass(2 * time.Second)
				if d.logins != c.logins || d.log() != c.log {
					t.Errorf("%d logins, want %d; the log is\n%s\nwant\n%s", d.logins, c.logins, d.log(), c.log)
				}
			})
		})
	}
}

// The control server may send the same answer for another reason, for any length of time.
func TestRegisteringAgainIsTriedLessAndLessOften(t *testing.T) {
	d := &fake{state: Running, registered: true}
	follow(t, d, withKey("tskey-1"), func(d *fake) {
		for range 24 * 60 {
			d.events <- Event{Forgotten: true}
			d.events <- Event{Forgotten: true}
			d.events <- Event{Forgotten: true}
			pass(time.Minute)
		}
		if d.restarts < 96 || d.restarts > 105 || d.logins != 0 {
			t.Errorf("%d restarts, %d logins in a day; want one every 15 minutes", d.restarts, d.logins)
		}
		if strings.Count(d.log(), "registering again") != 1 {
			t.Errorf("the log is\n%s", d.log())
		}
	})
}

// Answers that the control server doesn't know the router count for an hour. Earlier ones were about another loss.
func TestALaterLossOfTheRegistrationHealsLikeTheFirst(t *testing.T) {
	d := &fake{state: Running, registered: true}
	follow(t, d, withKey("key"), func(d *fake) {
		lose := func() {
			for range 3 {
				d.events <- Event{Forgotten: true}
			}
			pass(time.Second)
		}
		for day := range 8 {
			lose()
			if d.restarts != day+1 {
				t.Fatalf("%d restarts after %d losses", d.restarts, day+1)
			}
			pass(24 * time.Hour)
		}
		// After eight losses, the pause between attempts is short again.
		lose()
		pass(2 * time.Minute)
		lose()
		if d.restarts != 10 {
			t.Errorf("%d restarts; want the second one within two minutes", d.restarts)
		}
		if n := strings.Count(d.log(), "registering again"); n != 9 {
			t.Errorf("%d losses are in the log, want each of the nine:\n%s", n, d.log())
		}
	})
}

func TestRareAnswersAreNoLossOfTheRegistration(t *testing.T) {
	follow(t, &fake{state: Running, registered: true}, withKey("key"), func(d *fake) {
		for range 10 {
			d.events <- Event{Forgotten: true}
			pass(6 * time.Hour)
		}
		if d.restarts != 0 {
			t.Errorf("%d restarts", d.restarts)
		}
	})
}

// A person stops a router while it registers again, and starts it later.
func TestAStoppedRouterRunsAgainAfterALossOfTheRegistration(t *testing.T) {
	s := withKey("key")
	s.Flags = []Flag{{"hostname", "home"}}
	follow(t, &fake{state: Running, registered: true, forgotten: true, away: true, good: "key"}, s, func(d *fake) {
		for range 3 {
			d.events <- Event{Forgotten: true}
		}
		pass(0)
		d.to(Stopped)
		pass(time.Minute)
		d.forgotten = false
		d.to(Running)
		pass(time.Minute)
		if d.log() == "" || !strings.HasSuffix(d.log(), "logged in") {
			t.Errorf("the log is\n%s", d.log())
		}
	})
}

func TestARefusedKeyIsTriedLessAndLessOften(t *testing.T) {
	follow(t, &fake{state: NeedsLogin, good: "other"}, withKey("bad"), func(d *fake) {
		pass(time.Hour)
		first := d.logins
		pass(10 * time.Hour)
		if first < 8 || first > 20 || d.logins-first < 35 || d.logins-first > 41 || d.restarts != d.logins {
			t.Errorf("%d logins in the first hour, %d in the next ten, %d ended", first, d.logins-first, d.restarts)
		}
		if len(d.lines) != 1 || !strings.HasPrefix(d.lines[0], "not logged in: invalid key (the key)") {
			t.Errorf("the log is\n%s", d.log())
		}
		d.good = "bad"
		pass(time.Hour)
		if d.state != Running || d.lines[len(d.lines)-1] != "logged in" {
			t.Errorf("the state is %s:\n%s", d.state, d.log())
		}
	})
}

// The daemon would use a rejected key again and again until it is told to stop.
func TestARejectedKeyIsStoppedEventually(t *testing.T) {
	follow(t, &fake{state: NeedsLogin, good: "other", busy: 1}, withKey("bad"), func(d *fake) {
		pass(2 * Tick)
		if d.restarts != d.logins || !strings.Contains(d.log(), "can't stop the attempt to log in: the daemon is busy") {
			t.Errorf("%d logins, %d ended, and the log is\n%s", d.logins, d.restarts, d.log())
		}
	})
}

func TestAKeyFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	follow(t, &fake{state: NeedsLogin, good: "good"}, withKey("file:"+file), func(d *fake) {
		pass(time.Hour)
		if d.logins != 0 || len(d.lines) != 1 || !strings.Contains(d.lines[0], "can't read the key, waiting for it: open "+file) {
			t.Errorf("%d logins without a file:\n%s", d.logins, d.log())
		}
		put("bad\n")
		pass(10 * time.Hour)
		put(" good\n")
		pass(2 * Tick)
		if d.state != Running || d.keys[len(d.keys)-1] != "good" {
			t.Errorf("the state is %s, the keys were %q", d.state, d.keys)
		}
	})
}

// While the control server doesn't answer, the daemon keeps the key and continues by itself. A second login would
// spend a one-time key for another identity.
func TestAnUnreachableServerGetsTheKeyOnce(t *testing.T) {
	follow(t, &fake{state: NeedsLogin, good: "key", away: true}, withKey("key"), func(d *fake) {
		pass(48 * time.Hour)
		if d.logins != 1 || d.restarts != 0 || len(d.lines) != 1 || !strings.Contains(d.lines[0], "can't be reached yet") {
			t.Errorf("%d logins, %d ended:\n%s", d.logins, d.restarts, d.log())
		}
		d.registered = true
		d.to(Running)
		pass(time.Second)
		d.away, d.good = false, "key"
		d.to(NeedsLogin)
		pass(time.Minute)
		if d.logins != 2 || d.state != Running {
			t.Errorf("%d logins, the state is %s", d.logins, d.state)
		}
	})
}

func TestAOneTimeKeyIsSpentOnce(t *testing.T) {
	follow(t, &fake{state: NeedsLogin, good: "key", once: true}, withKey("key"), func(d *fake) {
		pass(time.Hour)
		if d.logins != 1 || d.state != Running {
			t.Errorf("%d logins, the state is %s", d.logins, d.state)
		}
	})
}

// An answer to an earlier attempt says nothing about the current one.
func TestAnOldAnswerIsNoAnswer(t *testing.T) {
	d := &fake{}
	f := Follower{Settings: withKey("key"), Daemon: d, Now: time.Now, Logf: func(string, ...any) {}, logged: map[string]bool{}, state: NeedsLogin}
	f.pending = time.Now()
	f.handle(Event{Refused: "no", At: f.pending.Add(-time.Second)})
	if f.pending.IsZero() {
		t.Error("it ended the attempt")
	}
	f.handle(Event{Refused: "no", At: f.pending.Add(time.Second)})
	if !f.pending.IsZero() {
		t.Error("an answer did not end the attempt")
	}
}

func TestWithoutAKeyTheLogHasAnAddressToLogInAt(t *testing.T) {
	s := Settings{Wanted: true, Flags: []Flag{{"hostname", "home"}}}
	follow(t, &fake{state: NeedsLogin}, s, func(d *fake) {
		pass(time.Hour)
		if d.logins != 1 || d.log() != "to log this router in, visit https://login.example/a/1" {
			t.Errorf("%d logins:\n%s", d.logins, d.log())
		}
	})
}

func TestAnEmptyEnvironmentLeavesTheDaemonAlone(t *testing.T) {
	for _, state := range []string{NeedsLogin, Running, Stopped} {
		follow(t, &fake{state: state, registered: true}, Settings{Flags: []Flag{{"netfilter-mode", "off"}}}, func(d *fake) {
			pass(time.Hour)
			if d.logins+d.edits+len(d.lines) != 0 {
				t.Errorf("%s: %d logins, %d edits, and the log is %q", state, d.logins, d.edits, d.lines)
			}
		})
	}
}

func TestTheRouterLogsInToAnotherServer(t *testing.T) {
	for _, state := range []string{Running, Starting, NoState, NeedsLogin, Stopped} {
		s := withKey("key")
		s.Server, s.Flags = "https://new.example", []Flag{{"login-server", "https://new.example"}}
		follow(t, &fake{state: state, registered: true, server: "https://old.example", good: "key"}, s, func(d *fake) {
			pass(time.Minute)
			if d.state != Running || d.server != "https://new.example" || d.logins != 1 {
				t.Errorf("from %s: the state is %s at %s after %d logins", state, d.state, d.server, d.logins)
			}
			if strings.Count(d.log(), "this router is logged in to https://old.example, but TS_LOGIN_SERVER is https://new.example") != 1 {
				t.Errorf("the log is\n%s", d.log())
			}
		})
	}
	s := withKey("key")
	s.Server = "https://same.example"
	follow(t, &fake{state: Running, registered: true, server: "https://same.example"}, s, func(d *fake) {
		pass(time.Minute)
		if d.logins != 0 {
			t.Error("the same server is logged in to again")
		}
	})
}

func TestSettingsAreAppliedAndKept(t *testing.T) {
	s := withKey("key")
	s.Flags = []Flag{{"accept-routes", "true"}, {"hostname", "home"}}
	follow(t, &fake{state: Running, registered: true}, s, func(d *fake) {
		if d.edits != 1 {
			t.Errorf("%d edits at the start", d.edits)
		}
		d.prefs = []Flag{{"hostname", "else"}}
		d.events <- Event{Changed: true}
		pass(time.Minute)
		if d.edits != 2 || !reflect.DeepEqual(d.prefs, s.Flags) {
			t.Errorf("after %d edits the settings are %v", d.edits, d.prefs)
		}
		pass(24 * time.Hour)
		if d.edits != 2 {
			t.Errorf("%d edits although nothing changed", d.edits)
		}
	})
}

func TestARefusedSettingDoesNotAffectTheOthers(t *testing.T) {
	s := withKey("key")
	s.Flags = []Flag{{"exit-node", "paris"}, {"hostname", "home"}, {"netfilter-mode", "off"}}
	follow(t, &fake{state: NeedsLogin, good: "key", refuses: "exit-node"}, s, func(d *fake) {
		pass(time.Minute)
		if want := s.Flags[1:]; d.state != Running || !reflect.DeepEqual(d.prefs, want) {
			t.Errorf("the state is %s, the settings are %v", d.state, d.prefs)
		}
		if strings.Count(d.log(), "can't apply --exit-node=paris: no exit-node here") != 1 {
			t.Errorf("the log is\n%s", d.log())
		}
		d.refuses = ""
		pass(time.Minute)
		if !reflect.DeepEqual(d.prefs, s.Flags) {
			t.Errorf("later the settings are %v", d.prefs)
		}
	})
}

func TestEachStateIsExplainedOnce(t *testing.T) {
	for state, want := range map[string]string{
		Stopped:          `the router is disconnected, for example by "tailscale down": run "tailscale up" to connect it`,
		NeedsMachineAuth: "logged in, and waiting for approval: approve this machine in the tailnet's admin console",
	} {
		follow(t, &fake{state: state, registered: true}, withKey("key"), func(d *fake) {
			pass(24 * time.Hour)
			if d.log() != want {
				t.Errorf("%s is explained with\n%s", state, d.log())
			}
		})
	}
	follow(t, &fake{}, withKey("key"), func(d *fake) {
		pass(time.Hour)
		if d.log() != "tailscaled does not answer yet: waiting" {
			t.Errorf("no answer is explained with\n%s", d.log())
		}
	})
}

func TestAManualLogoutDuringALoginIsNotTheEnd(t *testing.T) {
	follow(t, &fake{state: NeedsLogin, good: "key", away: true}, withKey("key"), func(d *fake) {
		pass(time.Hour)
		d.away = false
		d.events <- Event{LoggedOut: true}
		pass(time.Minute)
		if d.state != Running || d.logins != 2 {
			t.Errorf("the state is %s after %d logins", d.state, d.logins)
		}
	})
}

// A control server that can't use the key asks for a person.
func TestAServerThatWantsAPerson(t *testing.T) {
	follow(t, &fake{state: NeedsLogin, away: true}, withKey("key"), func(d *fake) {
		d.events <- Event{LoginURL: "https://login.example/a/2"}
		pass(Tick)
		if !strings.Contains(d.log(), "not logged in: the control server asks somebody to log in at https://login.example/a/2") {
			t.Errorf("the log is\n%s", d.log())
		}
	})
}
