//go:build supervised

// This file is added to Tailscale's cmd/tailscaled, with package supervisor. The image's entrypoint runs "tailscaled
// entrypoint FLAG...". It prepares the container, becomes the daemon, and follows the daemon's state through its
// LocalAPI.

package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/cmd/tailscale/cli"
	"tailscale.com/cmd/tailscaled/supervisor"
	"tailscale.com/ipn"
)

// supervisedFeatures are the features of this build, set by the linker.
var supervisedFeatures string

func logf(format string, args ...any) {
	log.New(os.Stderr, "entrypoint: ", 0).Printf(format, args...)
}

func init() {
	if len(os.Args) < 2 || os.Args[1] != "entrypoint" {
		return
	}
	release := cli.Supervised(supervisedFeatures)
	settings := supervisor.Read(release, supervisor.Environment(os.Stdin), os.Args[2:], logf)
	debug.SetMemoryLimit(settings.MemoryLimit)
	debug.SetGCPercent(settings.GCPercent)
	// The daemon exits if it can't parse this number.
	os.Setenv("TS_LOG_VERBOSITY", strconv.Itoa(settings.Verbosity))
	container := supervisor.Container{Root: "/", Lock: supervisor.Flock, Logf: logf, Now: time.Now}
	os.Args = append(os.Args[:1:1], container.Prepare(&settings, release)...)
	go supervise(settings)
}

// supervise runs in the daemon's process, next to the daemon.
func supervise(settings supervisor.Settings) {
	d := &daemon{client: local.Client{Socket: settings.Socket, UseSocketOnly: true}, failures: make(chan supervisor.Event, 1)}
	if settings.Local != "" {
		go d.serveLocal(settings)
	}
	if hookServeConfig != nil && settings.ServeConfig != "" {
		go hookServeConfig(d, settings.ServeConfig)
	}
	var state atomic.Value
	changed := make(chan struct{}, 1)
	go d.upkeep(settings, &state, changed)
	f := supervisor.Follower{Settings: settings, Daemon: d, Logf: logf, Now: time.Now, Notify: func(now string) {
		if state.Swap(now) != now {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}}
	f.Follow(context.Background())
}

// upkeep updates the copy of the state and the routes, every half minute and when the daemon's state changes.
func (d *daemon) upkeep(settings supervisor.Settings, state *atomic.Value, changed <-chan struct{}) {
	file := supervisor.OpenState("/", settings.StateDir, logf)
	r := routing{d: d, tun: settings.Tun}
	for {
		if state.Load() == supervisor.Running {
			file.Backup()
			if !settings.Userspace {
				r.repair()
			}
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
		}
	}
}

// hookServeConfig applies a configuration of "tailscale serve", if that feature is built in.
var hookServeConfig func(d *daemon, path string)

// daemon is the supervisor's access to the daemon.
type daemon struct {
	client local.Client
	// failures has the daemon's log messages about the last attempt to log in. The LocalAPI only has some of them.
	failures chan supervisor.Event
	tapped   sync.Once
	// edited are the settings after the last edit, and applied is that edit.
	edited  *ipn.Prefs
	applied string
}

// tap reads the daemon's log.
type tap struct {
	to       io.Writer
	failures chan supervisor.Event
}

func (t tap) Write(line []byte) (int, error) {
	// The control server's own answers are on the LocalAPI's bus. These messages are about the connection to it.
	_, reason, _ := strings.Cut(string(line), "Received error: ")
	e := supervisor.Event{At: time.Now()}
	if strings.HasPrefix(reason, "register request: ") || strings.HasPrefix(reason, "fetch control key: ") {
		e.Unreachable = strings.TrimSpace(reason)
		if _, answer, found := strings.Cut(e.Unreachable, "register request: http "); found {
			e.Refused, e.Unreachable = "the control server answered "+answer, ""
		}
	}
	if _, code, found := strings.Cut(reason, "PollNetMap: initial fetch failed "); found {
		code, _, _ = strings.Cut(code, ":")
		e.Forgotten = strings.Contains(" 401 403 404 410 ", " "+code+" ")
	}
	if e != (supervisor.Event{At: e.At}) {
		// The daemon may hold locks here, so the send must not block.
		select {
		case <-t.failures:
		default:
		}
		select {
		case t.failures <- e:
		default:
		}
	}
	return t.to.Write(line)
}

func (d *daemon) Watch(ctx context.Context, report func(supervisor.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher, err := d.client.WatchIPNBus(ctx, ipn.NotifyInitialState|ipn.NotifyInitialPrefs|ipn.NotifyNoNetMap)
	if err != nil {
		return err
	}
	defer watcher.Close()
	// The daemon has set up its log by now.
	d.tapped.Do(func() { log.SetOutput(tap{log.Writer(), d.failures}) })
	go func() {
		for {
			select {
			case e := <-d.failures:
				report(e)
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		n, err := watcher.Next()
		if err != nil {
			return err
		}
		e := supervisor.Event{At: time.Now()}
		if n.State != nil {
			e.State = n.State.String()
		}
		if n.Prefs != nil {
			e.Changed, e.LoggedOut = true, n.Prefs.LoggedOut()
		}
		e.LoggedIn = n.LoginFinished != nil
		// Login URLs from earlier attempts may still arrive.
		if n.BrowseToURL != nil && *n.BrowseToURL != "" {
			if st, err := d.client.StatusWithoutPeers(ctx); err == nil && st.AuthURL == *n.BrowseToURL {
				e.LoginURL = st.AuthURL
			}
		}
		if n.ErrMessage != nil {
			// The daemon itself waits as long as the control server asks for.
			if strings.Contains(*n.ErrMessage, "rate limited") {
				e.Unreachable = *n.ErrMessage
			} else {
				e.Refused = *n.ErrMessage
			}
		}
		// Changes of peers don't matter: they happen all the time.
		if n.SelfChange != nil {
			e.Changed = true
		}
		if e != (supervisor.Event{At: e.At}) {
			report(e)
		}
	}
}

func (d *daemon) Profile(ctx context.Context) (string, bool, error) {
	prefs, err := d.client.GetPrefs(ctx)
	if err != nil {
		return "", false, err
	}
	st, err := d.client.StatusWithoutPeers(ctx)
	if err != nil {
		return "", false, err
	}
	return prefs.ControlURL, st.HaveNodeKey, nil
}

func (d *daemon) SameServer(a, b string) bool {
	return sameServer(a, b)
}

func sameServer(a, b string) bool {
	trim := func(s string) string {
		if s == "" {
			s = ipn.DefaultControlURL
		}
		if u, err := url.Parse(s); err == nil {
			u.Host = strings.ToLower(u.Host)
			s = u.String()
		}
		return strings.TrimRight(s, "/")
	}
	a, b = trim(a), trim(b)
	return a == b || ipn.IsLoginServerSynonym(a) && ipn.IsLoginServerSynonym(b)
}

func (d *daemon) SwitchServer(ctx context.Context, server string) error {
	_, all, err := d.client.ProfileStatus(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if sameServer(p.ControlURL, server) {
			return d.client.SwitchProfile(ctx, p.ID)
		}
	}
	return d.client.SwitchToEmptyProfile(ctx)
}

func (d *daemon) Login(ctx context.Context, key supervisor.Key, flags []supervisor.Flag, reset bool) error {
	prefs, mask, err := d.wanted(ctx, flags, reset)
	if err != nil {
		return supervisor.RefusedSettings{Err: err}
	}
	prefs.ApplyEdits(mask)
	prefs.WantRunning, prefs.LoggedOut = true, false
	if err := d.client.CheckPrefs(ctx, prefs); err != nil {
		return supervisor.RefusedSettings{Err: err}
	}
	auth, err := cli.SupervisedKey(ctx, key, prefs)
	if err != nil {
		return err
	}
	st, err := d.client.StatusWithoutPeers(ctx)
	if err != nil {
		return err
	}
	if err := d.client.Start(ctx, ipn.Options{AuthKey: auth, UpdatePrefs: prefs}); err != nil {
		return err
	}
	if !st.HaveNodeKey || key.Empty() {
		return d.client.StartLoginInteractive(ctx)
	}
	return nil
}

func (d *daemon) Restart(ctx context.Context) error {
	return d.client.Start(ctx, ipn.Options{})
}

func (d *daemon) Apply(ctx context.Context, flags []supervisor.Flag, reset bool) error {
	current, mask, err := d.wanted(ctx, flags, reset)
	if err != nil {
		return err
	}
	// The control server only changes at a login.
	mask.ControlURLSet = false
	prefs := current.Clone()
	prefs.ApplyEdits(mask)
	what := fmt.Sprint(flags)
	// The daemon may store a setting in another form.
	if prefs.Equals(current) || what == d.applied && current.Equals(d.edited) {
		return nil
	}
	edited, err := d.client.EditPrefs(ctx, mask)
	if err != nil {
		return err
	}
	d.edited, d.applied = edited, what
	return nil
}

// wanted returns the daemon's settings and the edit for the flags.
func (d *daemon) wanted(ctx context.Context, flags []supervisor.Flag, reset bool) (*ipn.Prefs, *ipn.MaskedPrefs, error) {
	current, err := d.client.GetPrefs(ctx)
	if err != nil {
		return nil, nil, err
	}
	st, err := d.client.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	mask, err := cli.SupervisedPrefs(flags, reset, current, st)
	if err != nil {
		return nil, nil, err
	}
	if reset {
		mask.WantRunning, mask.WantRunningSet = true, true
	}
	return current, mask, nil
}

// serveLocal serves the health check and the metrics, like the official image.
func (d *daemon) serveLocal(settings supervisor.Settings) {
	mux := http.NewServeMux()
	if settings.Health {
		mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
			if st, err := d.client.StatusWithoutPeers(r.Context()); err != nil || len(st.TailscaleIPs) == 0 {
				http.Error(w, "the router has no address in the tailnet", http.StatusServiceUnavailable)
				return
			}
			io.WriteString(w, "ok")
		})
	}
	if settings.Metrics {
		mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
			text, err := d.client.UserMetrics(r.Context())
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			w.Write(text)
		})
	}
	for {
		err := (&http.Server{Addr: settings.Local, Handler: mux, ReadHeaderTimeout: time.Minute}).ListenAndServe()
		logf("can't listen on %s: %v; trying again", settings.Local, err)
		time.Sleep(5 * time.Minute)
	}
}
