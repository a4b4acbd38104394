// Package routertest simulates a router for tests: it interprets the part of RouterOS's scripting language that the
// scripts use, and simulates the parts of a router that they change.
package routertest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Router simulates the parts of a router that the scripts use: tables that commands change, and containers that take
// time to start and stop. It behaves like RouterOS as far as that is known. If it is wrong about RouterOS, the tests
// are, too.
type Router struct {
	minor   int
	release string
	Tables  map[string][]*Entry
	Singles map[string]map[string]any
	Said    []string
	Log     []string
	// Pull returns the ID of the image for a container's reference or file.
	Pull func(source string) (string, error)
	// Crashes are the IDs of images that don't keep running.
	Crashes map[string]bool
	Roots   *x509.CertPool
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	// FailAt is the number of the change that fails, counted from 1. CutAt is the number of the change before which
	// the power fails.
	FailAt, CutAt int
	Changes       int
	// Starts counts how often a container was started.
	Starts int
	// States has the daemon's state by image, after its start. The default is Running. Late has how many seconds the
	// daemon takes to reach it. Daemons in Hangs never answer. On a Mute router, no command can run in a container.
	States map[string]string
	Late   map[string]int
	Hangs  map[string]bool
	Mute   bool
	// away is how many seconds a disk needs to appear. unplugged has its files until then.
	away      int
	unplugged []*Entry
	// Says has the log lines that an image's container prints when it starts.
	Says map[string][]string
	// If Mountless is true, new disks don't appear. If Forgets is true, a boot removes disks in memory, not only
	// their content.
	Mountless, Forgets bool
	// Offline is how many seconds no registry answers. Asked counts requests to registries.
	Offline, Asked int
	// Fights counts moments at which two containers ran with the same state.
	Fights int
	next   int
	// appStarts counts how often an app was started.
	appStarts int
	// Age is how many seconds the router has been running. events are run at a given age.
	Age    int
	events map[int]func()
}

// Entry is one row of a table.
type Entry struct {
	id     string
	Values map[string]any
	Flags  map[string]bool
	State  string
	// Content is the content of a file.
	Content []byte
	left    int // seconds until the state changes
	up      int // seconds since the start
	failed  int // health checks in a row
	idle    int // seconds until RouterOS starts it again
}

// New returns a router with RouterOS 7.minor before anything is installed.
func New(minor int) *Router {
	r := &Router{
		minor: minor, release: fmt.Sprintf("7.%d.1 (stable)", minor),
		Tables: map[string][]*Entry{}, Crashes: map[string]bool{},
		States: map[string]string{}, Late: map[string]int{}, Hangs: map[string]bool{}, Says: map[string][]string{},
		Singles: map[string]map[string]any{
			"/system/resource":      {"version": fmt.Sprintf("7.%d.1 (stable)", minor), "architecture-name": "arm64", "board-name": "hAP ax^2", "free-hdd-space": int64(8 << 20), "free-memory": int64(80 << 20), "total-hdd-space": int64(128 << 20), "total-memory": int64(1 << 30), "uptime": "1d02:03:04"},
			"/system/identity":      {"name": "MikroTik"},
			"/system/routerboard":   {"model": "C52iG-5HaxD2HaxD"},
			"/system/clock":         {"date": "2026-11-25"},
			"/system/device-mode":   {"container": true, "fetch": true, "scheduler": true},
			"/container/config":     {"tmpdir": "", "username": "", "password": ""},
			"/certificate/settings": {"builtin-trust-store": []any{"fetch", "mqtt", "email", "netwatch", "container", "lora", "dns"}},
			"/app/settings":         {"disk": "disk1"},
			"/ip/dns":               {"servers": "", "dynamic-servers": "192.0.2.1"},
		},
		Pull: func(string) (string, error) { return "image", nil },
	}
	r.Put("/system/package", "name", "container")
	r.Put("/interface/list", "name", "WAN")
	r.Put("/interface/list", "name", "LAN")
	r.Put("/interface/bridge", "name", "bridge")
	r.Put("/ip/address", "address", "192.168.88.1/24", "interface", "bridge", "comment", "defconf")
	r.Put("/ip/firewall/filter", "chain", "forward", "action", "passthrough").Flags["dynamic"] = true
	r.Put("/ip/firewall/filter", "chain", "input", "action", "drop")
	r.Put("/ip/firewall/filter", "chain", "forward", "action", "drop", "comment", "defconf")
	r.Put("/container/envs", "list", "pihole", "key", "TZ", "value", "UTC", "comment", "mikrotik-tailscale:other")
	r.Put("/file", "name", "disk1")
	return r
}

// Put adds an entry to a table. pairs are the names and values of its properties.
func (r *Router) Put(menu string, pairs ...any) *Entry {
	r.next++
	e := &Entry{id: fmt.Sprintf("*%X", r.next), Values: map[string]any{}, Flags: map[string]bool{}}
	for i := 0; i < len(pairs); i += 2 {
		e.Values[pairs[i].(string)] = pairs[i+1]
	}
	r.Tables[menu] = append(r.Tables[menu], e)
	return e
}

// Snapshot returns everything on the router except for numbers that RouterOS assigns.
func (r *Router) Snapshot() string {
	all := map[string]any{"singles": r.Singles}
	for menu, entries := range r.Tables {
		var list []any
		for _, e := range entries {
			list = append(list, []any{e.Values, e.Flags, e.State})
		}
		if list != nil {
			all[menu] = list
		}
	}
	text, _ := json.MarshalIndent(all, "", " ")
	return string(text)
}

// Later runs event after some seconds.
func (r *Router) Later(seconds int, event func()) {
	if r.events == nil {
		r.events = map[int]func(){}
	}
	r.events[r.Age+seconds] = event
}

// patience is how many seconds a router may run. A script that waits for something that never happens would run
// forever.
const patience = 3_000_000

// Wait lets seconds pass.
func (r *Router) Wait(seconds int) {
	if r.Age > patience {
		panic(fmt.Sprintf("the script waits forever, log: %q", r.Log))
	}
	for range seconds {
		r.Age++
		if event := r.events[r.Age]; event != nil {
			event()
		}
		r.Offline = max(r.Offline-1, 0)
		if r.away > 0 {
			r.away--
			if r.away == 0 {
				r.Tables["/file"] = append(r.Tables["/file"], r.unplugged...)
			}
		}
		for _, e := range slices.Clone(r.Tables["/app"]) {
			if e.left > 0 {
				e.left--
				if e.left == 0 {
					r.startApp(e)
				}
			}
		}
		for _, e := range slices.Clone(r.Tables["/container"]) {
			if e.left > 0 {
				e.left--
				if e.left == 0 {
					r.arrive(e)
				}
			}
			r.watch(e)
		}
		running := 0
		for _, e := range r.Tables["/container"] {
			if e.State == "running" || e.State == "stopping" {
				running++
			}
		}
		if running > 1 {
			r.Fights++
		}
	}
}

// arrive completes what a container was doing.
func (r *Router) arrive(e *Entry) {
	switch e.State {
	case "extracting":
		source, _ := e.Values["remote-image"].(string)
		if source == "" {
			source, _ = e.Values["file"].(string)
		}
		id, err := r.Pull(source)
		if r.Offline > 0 && e.Values["file"] == nil {
			err = errors.New("connection timed out")
		}
		if e.Values["check-certificate"] == true && !r.trusts("container") {
			err = errors.New("no trusted CA certificate found")
		}
		if err != nil {
			e.State = "failed"
			r.Log = append(r.Log, "container: "+err.Error())
			return
		}
		e.Values["image-id"] = id
		e.State = "stopped"
	case "running":
		r.end(e, true)
	case "stopping":
		r.end(e, true)
		// It is undocumented whether the restart interval applies to a container that was told to stop.
		e.idle = min(e.idle, 1)
	case "deleting":
		r.Drop("/container", e)
		r.dropFile(e.Values["root-dir"].(string))
	}
}

// Drop removes an entry from a table.
func (r *Router) Drop(menu string, e *Entry) {
	r.Tables[menu] = slices.DeleteFunc(r.Tables[menu], func(o *Entry) bool { return o == e })
}

func (r *Router) dropFile(path string) {
	r.Tables["/file"] = slices.DeleteFunc(r.Tables["/file"], func(o *Entry) bool { return "/"+o.Values["name"].(string) == path })
}

// dropFiles removes a directory or disk with its content.
func (r *Router) dropFiles(path string) {
	r.Tables["/file"] = slices.DeleteFunc(r.Tables["/file"], func(e *Entry) bool {
		name := e.Values["name"].(string)
		return name == path || strings.HasPrefix(name, path+"/")
	})
}

// Unplug removes a disk for some time.
func (r *Router) Unplug(disk string, seconds int) {
	r.away, r.unplugged = seconds, nil
	r.Tables["/file"] = slices.DeleteFunc(r.Tables["/file"], func(e *Entry) bool {
		name := e.Values["name"].(string)
		gone := name == disk || strings.HasPrefix(name, disk+"/")
		if gone {
			r.unplugged = append(r.unplugged, e)
		}
		return gone
	})
}

// misses reports whether a container's root directory is on a missing disk.
func (r *Router) misses(e *Entry) bool {
	return !r.Has("/file", "name", strings.TrimPrefix(e.Values["root-dir"].(string), "/"))
}

// Boot simulates a power failure.
func (r *Router) Boot() {
	r.CutAt = 0
	for _, e := range slices.Clone(r.Tables["/disk"]) {
		if e.Values["type"] != "tmpfs" {
			continue
		}
		r.Drop("/disk", e)
		r.dropFiles(e.Values["slot"].(string))
		if !r.Forgets {
			r.Tables["/disk"] = append(r.Tables["/disk"], e)
			r.Put("/file", "name", e.Values["slot"])
		}
	}
	for _, e := range r.Tables["/app"] {
		if !e.Flags["disabled"] {
			e.State, e.left = "", 40
		}
	}
	for _, e := range slices.Clone(r.Tables["/container"]) {
		switch e.State {
		case "extracting":
			e.State = "failed"
		case "deleting":
			r.arrive(e)
		case "running", "stopping":
			e.State = "stopped"
		}
		e.left, e.idle = 0, 0
		if e.State == "stopped" && e.Values["start-on-boot"] == true && !r.misses(e) {
			r.start(e)
		}
	}
}

// end stops a container. RouterOS may start it again. With "always" it apparently also restarts a container that was
// told to stop.
func (r *Router) end(e *Entry, failed bool) {
	e.State = "stopped"
	if policy := e.Values["restart-policy"]; policy == "always" || policy == "on-failure" && failed {
		e.idle = int(span(e.Values["restart-interval"]).Seconds())
	}
}

// span parses a duration in the format of the scripts.
func span(v any) time.Duration {
	d, err := time.ParseDuration(fmt.Sprint(v))
	if err != nil {
		panic(err)
	}
	return d
}

// watch simulates what RouterOS does about a container every second.
func (r *Router) watch(e *Entry) {
	if e.State == "stopped" && e.idle > 0 {
		e.idle--
		if e.idle == 0 {
			r.start(e)
		}
	}
	if e.State != "running" {
		return
	}
	e.up++
	// RouterOS calls the image's own health check unless another one is set.
	check, interval, retries, grace := any("/usr/local/bin/healthcheck"), time.Minute, int64(3), time.Minute
	if own := e.Values["healthcheck-cmd"]; own != nil {
		check, interval, retries, grace = own, span(e.Values["healthcheck-interval"]), e.Values["healthcheck-retries"].(int64), span(e.Values["healthcheck-start-period"])
	}
	if r.minor < 22 || e.up%int(interval.Seconds()) != 0 {
		return
	}
	good := r.state(e) == "Running"
	if check == "/usr/local/bin/healthcheck alive" {
		good = r.state(e) != ""
	}
	e.failed++
	if good || e.up <= int(grace.Seconds()) {
		e.failed = 0
	}
	if e.failed >= int(retries) && e.Values["stop-on-unhealthy"] == true {
		// It is undocumented whether that counts as a failure.
		r.end(e, false)
	}
}

// state returns the state of the daemon in a container, or "".
func (r *Router) state(e *Entry) string {
	id, _ := e.Values["image-id"].(string)
	switch late, ok := r.Late[id]; {
	case r.Hangs[id]:
		return ""
	case ok && e.up < late || e.up < 8:
		return "NoState"
	}
	if state, ok := r.States[id]; ok {
		return state
	}
	return "Running"
}

// TailnetAddress is the address of a logged-in container in the tailnet.
const TailnetAddress = "100.101.102.103"

// shell runs a command in a container.
func (r *Router) shell(e *Entry, args map[string]any) any {
	if args["cmd"] != "/usr/local/bin/healthcheck" && args["cmd"] != "tailscale ip" {
		panic(fmt.Sprintf("no command %v", args["cmd"]))
	}
	if e.State != "running" || r.Mute {
		fail("failure: container not running")
	}
	if r.Hangs[e.Values["image-id"].(string)] {
		r.Wait(int(args["timeout"].(int64)))
	}
	if args["cmd"] == "tailscale ip" && r.state(e) == "Running" {
		return map[string]any{"output": TailnetAddress + "\nfd7a:115c:a1e0::7\n"}
	}
	return map[string]any{"output": r.state(e) + "\n"}
}

func (r *Router) start(e *Entry) {
	r.Starts++
	e.State, e.up, e.failed, e.idle = "running", 0, 0, 0
	for _, line := range r.Says[e.Values["image-id"].(string)] {
		r.Put("/log", "topics", "container", "message", line)
	}
	if r.Crashes[e.Values["image-id"].(string)] {
		e.left = 4
	}
}

// Running returns the images of the running containers.
func (r *Router) Running() []string {
	var all []string
	for _, e := range r.Tables["/container"] {
		if e.State == "running" {
			all = append(all, e.Values["image-id"].(string))
		}
	}
	return all
}

// do runs a command with a menu.
func (r *Router) do(c *console, n node, s *scope, menu, command string) any {
	if menu == "/tool" && command == "fetch" {
		return r.fetch(c, n, s)
	}
	if menu == "" && command == "import" {
		return r.load(fmt.Sprint(c.eval(*n.named("file-name"), s, "")))
	}
	args := map[string]any{}
	for _, a := range n.args {
		if a.key != "" {
			if !knows(menu+"/"+command, a.key, r.minor) {
				broken(n, "%s/%s has no argument %s on RouterOS 7.%d", menu, command, a.key, r.minor)
			}
			args[a.key] = c.eval(a.value, s, menu)
		}
	}
	plain := n.plain()
	switch command {
	case "find":
		return r.find(c, n, s, menu)
	case "shell":
		if !slices.ContainsFunc(plain, func(n node) bool { return n.text == "as-value" }) {
			broken(n, "the answer is printed")
		}
		return r.shell(r.one(menu, c.eval(plain[0], s, menu)), args)
	case "get":
		if single, ok := r.Singles[menu]; ok {
			v, ok := single[plain[0].text]
			if !ok {
				broken(n, "%s has no value %s", menu, plain[0].text)
			}
			return v
		}
		e := r.one(menu, c.eval(plain[0], s, menu))
		if menu == "/file" && plain[1].text == "contents" {
			return string(e.Content)
		}
		return e.Values[plain[1].text]
	}
	r.changed()
	switch command {
	case "enable":
		r.enableApp(r.one(menu, c.eval(plain[0], s, menu)))
	case "add":
		if menu == "/app" {
			r.addApp(args["yaml"])
			return nil
		}
		r.add(n, menu, args)
	case "set":
		if single, ok := r.Singles[menu]; ok {
			for k, v := range args {
				single[k] = v
			}
			return nil
		}
		e := r.one(menu, c.eval(plain[0], s, menu))
		for k, v := range args {
			e.Values[k] = v
		}
	case "remove", "start", "stop":
		v := c.eval(plain[0], s, menu)
		ids, ok := v.([]any)
		if !ok {
			ids = []any{v}
		}
		for _, id := range ids {
			r.act(menu, command, r.one(menu, id))
		}
	default:
		broken(n, "unknown command %s/%s", menu, command)
	}
	return nil
}

// load imports a script from a file.
func (r *Router) load(name string) any {
	i := slices.IndexFunc(r.Tables["/file"], func(e *Entry) bool { return e.Values["name"] == name })
	if i < 0 {
		fail("failure: cannot open %s", name)
	}
	switch err := r.Run(string(r.Tables["/file"][i].Content)); e := err.(type) {
	case nil:
	case scriptError:
		panic(e)
	case powerFailure:
		panic(e)
	default:
		fail("%v", err)
	}
	return nil
}

// changed counts a change, and lets it fail if a test wants that.
func (r *Router) changed() {
	r.Changes++
	if r.CutAt == r.Changes {
		panic(powerFailure{errors.New("power failure")})
	}
	if r.FailAt == r.Changes {
		fail("failure: it does not work")
	}
}

func (r *Router) one(menu string, id any) *Entry {
	for _, e := range r.Tables[menu] {
		if e.id == id {
			return e
		}
	}
	fail("no such item")
	return nil
}

func (r *Router) find(c *console, n node, s *scope, menu string) any {
	entries := r.Tables[menu]
	if menu == "/interface" {
		entries = slices.Concat(r.Tables["/interface/veth"], r.Tables["/interface/bridge"])
	}
	found := []any{}
	for _, e := range entries {
		if !slices.ContainsFunc(n.where, func(w condition) bool { return r.matches(c, w, s, e) == w.negated }) {
			found = append(found, e.id)
		}
	}
	return found
}

func (r *Router) matches(c *console, w condition, s *scope, e *Entry) bool {
	if w.op == "" {
		return e.Flags[w.property] || e.State == w.property
	}
	value, have := fmt.Sprint(c.eval(w.value, s, "")), fmt.Sprint(e.Values[w.property])
	if w.op == "~" {
		return regexp.MustCompile(value).MatchString(have)
	}
	return value == have
}

// Has reports whether a table has an entry with a value.
func (r *Router) Has(menu, key string, value any) bool {
	return slices.ContainsFunc(r.Tables[menu], func(e *Entry) bool { return e.Values[key] == value })
}

// references has the table and the property that the value of an argument must exist in.
var references = map[string][2]string{
	"/container/add interface":                  {"/interface/veth", "name"},
	"/container/add envlists":                   {"/container/envs", "list"},
	"/container/add mountlists":                 {"/container/mounts", "list"},
	"/container/add file":                       {"/file", "name"},
	"/interface/bridge/port/add bridge":         {"/interface/bridge", "name"},
	"/interface/bridge/port/add interface":      {"/interface/veth", "name"},
	"/interface/list/member/add list":           {"/interface/list", "name"},
	"/interface/list/member/add interface":      {"/interface/veth", "name"},
	"/ip/address/add interface":                 {"/interface/veth", "name"},
	"/ipv6/address/add interface":               {"/interface/veth", "name"},
	"/ip/firewall/nat/add in-interface-list":    {"/interface/list", "name"},
	"/ip/firewall/nat/add out-interface-list":   {"/interface/list", "name"},
	"/ip/firewall/filter/add in-interface":      {"/interface/veth", "name"},
	"/ip/firewall/filter/add out-interface":     {"/interface/veth", "name"},
	"/ip/firewall/mangle/add in-interface":      {"/interface/veth", "name"},
	"/ip/firewall/mangle/add out-interface":     {"/interface/veth", "name"},
	"/ipv6/firewall/mangle/add in-interface":    {"/interface/veth", "name"},
	"/ipv6/firewall/mangle/add out-interface":   {"/interface/veth", "name"},
	"/ipv6/firewall/nat/add out-interface-list": {"/interface/list", "name"},
	"/ipv6/firewall/filter/add in-interface":    {"/interface/veth", "name"},
	"/ipv6/firewall/filter/add out-interface":   {"/interface/veth", "name"},
}

// unique has the properties that must be unique in a table.
var unique = map[string]string{"/interface/veth": "name", "/container": "name", "/disk": "slot", "/file": "name", "/system/scheduler": "name"}

func (r *Router) add(n node, menu string, args map[string]any) {
	for key, value := range args {
		if at, ok := references[menu+"/add "+key]; ok && !r.Has(at[0], at[1], value) {
			fail("input does not match any value of %s", key)
		}
	}
	for _, key := range []string{"root-dir", "name"} {
		path, _ := args[key].(string)
		if disk, _, ok := strings.Cut(path, "/"); ok && (menu == "/container" || menu == "/file") && !r.Has("/file", "name", disk) {
			fail("failure: there is no disk %s", disk)
		}
	}
	if key := unique[menu]; key != "" && r.Has(menu, key, args[key]) {
		fail("failure: already have %s %v", key, args[key])
	}
	e := r.Put(menu)
	if before, ok := args["place-before"]; ok {
		delete(args, "place-before")
		at := slices.IndexFunc(r.Tables[menu], func(o *Entry) bool { return o.id == before })
		if at < 0 || r.Tables[menu][at].Flags["dynamic"] {
			fail("cannot place before that")
		}
		r.Tables[menu] = slices.Insert(slices.DeleteFunc(r.Tables[menu], func(o *Entry) bool { return o == e }), at, e)
	}
	e.Values = args
	if strings.HasSuffix(menu, "/route") {
		e.Flags["active"] = true
	}
	if menu == "/disk" && !r.Mountless {
		r.Put("/file", "name", args["slot"])
	}
	if menu == "/container" {
		if _, ok := args["restart-policy"]; !ok && r.minor >= 23 {
			args["restart-policy"] = "no"
		}
		e.State, e.left = "extracting", 20
		args["image-id"] = ""
		args["root-dir"] = "/" + args["root-dir"].(string)
		r.Put("/file", "name", strings.TrimPrefix(args["root-dir"].(string), "/"))
		for _, m := range r.Tables["/container/mounts"] {
			if m.Values["list"] == args["mountlists"] && !r.Has("/file", "name", m.Values["src"]) {
				r.Put("/file", "name", m.Values["src"])
			}
		}
		if layers, ok := args["layer-dir"]; ok && !r.Has("/file", "name", layers) {
			r.Put("/file", "name", layers)
		}
	}
}

func (r *Router) act(menu, command string, e *Entry) {
	if menu != "/container" {
		if menu == "/interface/veth" && r.Has("/container", "interface", e.Values["name"]) {
			fail("failure: the interface is used by a container")
		}
		switch menu {
		case "/disk":
			r.dropFiles(e.Values["slot"].(string))
		case "/file":
			r.dropFiles(e.Values["name"].(string))
		}
		r.Drop(menu, e)
		return
	}
	switch {
	case command == "start" && r.misses(e):
		fail("failure: no root directory")
	case command == "start" && e.State == "stopped":
		r.start(e)
	case command == "start":
		fail("failure: cannot start %s", e.State)
	case command == "stop" && e.State == "running":
		e.State, e.left = "stopping", 6
	case command == "stop" && e.idle > 0:
		e.idle = 0
	case command == "stop":
		fail("failure: not running")
	case command == "remove" && (e.State == "running" || e.State == "stopping"):
		fail("failure: cannot remove running")
	default:
		e.State, e.left = "deleting", 5
	}
}

// trusts reports whether a service has a built-in or imported certificate authority.
func (r *Router) trusts(service string) bool {
	for _, name := range r.Singles["/certificate/settings"]["builtin-trust-store"].([]any) {
		if name == service || name == "all" || name == "default" {
			return true
		}
	}
	return slices.ContainsFunc(r.Tables["/certificate"], func(e *Entry) bool { return e.Flags["trusted"] })
}

// fetch implements /tool/fetch with the arguments that the scripts use. It sends real requests.
func (r *Router) fetch(c *console, n node, s *scope) any {
	args := map[string]string{}
	for _, a := range n.args {
		key, value := a.key, ""
		if key == "" {
			key = a.value.text
		} else {
			value = fmt.Sprint(c.eval(a.value, s, ""))
		}
		if !knows("/tool/fetch", key, r.minor) {
			broken(n, "/tool/fetch has no argument %s on RouterOS 7.%d", key, r.minor)
		}
		args[key] = value
	}
	if args["output"] != "user" {
		broken(n, "fetched to %q", args["output"])
	}
	if strings.Contains(args["url"], "&") {
		// RouterOS 7.21.2 is reported to print this confusing error for such an address.
		broken(n, "Please provide IP address or host: %q has an &", args["url"])
	}
	method := strings.ToUpper(args["http-method"])
	if (method == http.MethodPost) != (args["http-data"] != "") {
		broken(n, "a %s request with %d bytes of data", method, len(args["http-data"]))
	}
	request, err := http.NewRequest(method, args["url"], strings.NewReader(args["http-data"]))
	if err != nil {
		fail("failure: %v", err)
	}
	if request.URL.Scheme == "https" && args["check-certificate"] == "true" && !r.trusts("fetch") {
		fail("failure: SSL: ssl: no trusted CA certificate found (6)")
	}
	for field := range strings.SplitSeq(args["http-header-field"], ",") {
		if name, value, ok := strings.Cut(field, ":"); ok {
			request.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		} else if field != "" {
			broken(n, "malformed header %q", field)
		}
	}
	if args["user"] != "" {
		request.SetBasicAuth(args["user"], args["password"])
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: r.Roots, InsecureSkipVerify: args["check-certificate"] != "true"}
	if r.Dial != nil {
		transport.DialContext = r.Dial
	}
	defer transport.CloseIdleConnections()
	r.Asked++
	if r.Offline > 0 {
		fail("failure: connection timed out")
	}
	client := http.Client{Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		fail("failure: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= 300 {
		fail("failure: Status %s", strconv.Itoa(response.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 64512))
	if err != nil {
		fail("failure: %v", err)
	}
	return map[string]any{"data": string(body), "status": "finished"}
}

// serialize returns a string as JSON.
func serialize(of string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(of) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

// deserialize parses JSON. Strings that look like numbers become numbers, like on a router.
func deserialize(text string) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		fail("failure: %v", err)
	}
	var convert func(any) any
	convert = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				v[k] = convert(e)
			}
		case []any:
			for i, e := range v {
				v[i] = convert(e)
			}
		case float64:
			return int64(v)
		case string:
			if number, err := strconv.ParseInt(v, 10, 64); err == nil {
				return number
			}
		}
		return v
	}
	return convert(v)
}
