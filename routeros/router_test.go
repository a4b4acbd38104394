package routeros

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

// router is as much of a router as the scripts have to do with: tables that commands change, and
// containers that take their time. It does what is known of RouterOS; where it is wrong about
// RouterOS, so are the tests.
type router struct {
	minor   int
	release string
	tables  map[string][]*entry
	singles map[string]map[string]any
	said    []string
	log     []string
	// pull gives the ID of what a container gets for its reference or file.
	pull func(source string) (string, error)
	// crashes are the IDs of images that do not stay up.
	crashes map[string]bool
	roots   *x509.CertPool
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	// failAt is the change that fails, counted from 1, and cutAt the one before which power fails.
	failAt, cutAt int
	changes       int
	// starts counts how often a container was started.
	starts int
	// states has what the daemon of an image says of itself once it is up, Running if nothing is said here,
	// and late after how many seconds. Daemons in hangs never answer, and nobody can ask in a mute router.
	states map[string]string
	late   map[string]int
	hangs  map[string]bool
	mute   bool
	// away is how many seconds a disk needs to appear, and unplugged has its files until then.
	away      int
	unplugged []*entry
	// fights counts moments at which two containers ran with one state.
	fights int
	next   int
}

type entry struct {
	id     string
	values map[string]any
	flags  map[string]bool
	state  string
	left   int // seconds until the state changes
	up     int // seconds since the start
	failed int // health checks in a row
	idle   int // seconds until RouterOS starts it again
}

func newRouter(minor int) *router {
	r := &router{
		minor: minor, release: fmt.Sprintf("7.%d.1 (stable)", minor),
		tables: map[string][]*entry{}, crashes: map[string]bool{},
		states: map[string]string{}, late: map[string]int{}, hangs: map[string]bool{},
		singles: map[string]map[string]any{
			"/system/resource":      {"version": fmt.Sprintf("7.%d.1 (stable)", minor), "architecture-name": "arm64", "free-hdd-space": int64(8 << 20)},
			"/system/clock":         {"date": "2026-11-25"},
			"/system/device-mode":   {"container": true, "fetch": true, "scheduler": true},
			"/container/config":     {"tmpdir": "", "username": "", "password": ""},
			"/certificate/settings": {"builtin-trust-store": []any{"fetch", "mqtt", "email", "netwatch", "container", "lora", "dns"}},
			"/ip/dns":               {"servers": "", "dynamic-servers": "192.0.2.1"},
		},
		pull: func(string) (string, error) { return "image", nil },
	}
	r.put("/system/package", "name", "container")
	r.put("/interface/list", "name", "WAN")
	r.put("/interface/list", "name", "LAN")
	r.put("/interface/bridge", "name", "bridge")
	r.put("/ip/address", "address", "192.168.88.1/24", "interface", "bridge", "comment", "defconf")
	r.put("/ip/firewall/filter", "chain", "forward", "action", "passthrough").flags["dynamic"] = true
	r.put("/ip/firewall/filter", "chain", "input", "action", "drop")
	r.put("/ip/firewall/filter", "chain", "forward", "action", "drop", "comment", "defconf")
	r.put("/container/envs", "list", "pihole", "key", "TZ", "value", "UTC", "comment", "mikrotik-tailscale:other")
	r.put("/file", "name", "disk1")
	return r
}

func (r *router) put(menu string, pairs ...any) *entry {
	r.next++
	e := &entry{id: fmt.Sprintf("*%X", r.next), values: map[string]any{}, flags: map[string]bool{}}
	for i := 0; i < len(pairs); i += 2 {
		e.values[pairs[i].(string)] = pairs[i+1]
	}
	r.tables[menu] = append(r.tables[menu], e)
	return e
}

// snapshot is everything on the router but numbers that RouterOS gives away.
func (r *router) snapshot() string {
	all := map[string]any{"singles": r.singles}
	for menu, entries := range r.tables {
		var list []any
		for _, e := range entries {
			list = append(list, []any{e.values, e.flags, e.state})
		}
		if list != nil {
			all[menu] = list
		}
	}
	text, _ := json.MarshalIndent(all, "", " ")
	return string(text)
}

// wait lets seconds pass.
func (r *router) wait(seconds int) {
	for range seconds {
		if r.away > 0 {
			r.away--
			if r.away == 0 {
				r.tables["/file"] = append(r.tables["/file"], r.unplugged...)
			}
		}
		for _, e := range slices.Clone(r.tables["/container"]) {
			if e.left > 0 {
				e.left--
				if e.left == 0 {
					r.arrive(e)
				}
			}
			r.watch(e)
		}
		running := 0
		for _, e := range r.tables["/container"] {
			if e.state == "running" || e.state == "stopping" {
				running++
			}
		}
		if running > 1 {
			r.fights++
		}
	}
}

// arrive ends what a container was in the middle of.
func (r *router) arrive(e *entry) {
	switch e.state {
	case "extracting":
		source, _ := e.values["remote-image"].(string)
		if source == "" {
			source, _ = e.values["file"].(string)
		}
		id, err := r.pull(source)
		if e.values["check-certificate"] == true && !r.trusts("container") {
			err = errors.New("no trusted CA certificate found")
		}
		if err != nil {
			e.state = "failed"
			r.log = append(r.log, "container: "+err.Error())
			return
		}
		e.values["image-id"] = id
		e.state = "stopped"
	case "running":
		r.end(e, true)
	case "stopping":
		r.end(e, true)
		// Nobody has said whether the restart interval applies to a container that was told to stop.
		e.idle = min(e.idle, 1)
	case "deleting":
		r.drop("/container", e)
		r.dropFile(e.values["root-dir"].(string))
	}
}

func (r *router) drop(menu string, e *entry) {
	r.tables[menu] = slices.DeleteFunc(r.tables[menu], func(o *entry) bool { return o == e })
}

func (r *router) dropFile(path string) {
	r.tables["/file"] = slices.DeleteFunc(r.tables["/file"], func(o *entry) bool { return "/"+o.values["name"].(string) == path })
}

// unplug takes a disk away for a while.
func (r *router) unplug(disk string, seconds int) {
	r.away, r.unplugged = seconds, nil
	r.tables["/file"] = slices.DeleteFunc(r.tables["/file"], func(e *entry) bool {
		name := e.values["name"].(string)
		gone := name == disk || strings.HasPrefix(name, disk+"/")
		if gone {
			r.unplugged = append(r.unplugged, e)
		}
		return gone
	})
}

// misses says whether a container's root directory is on a disk that is not there.
func (r *router) misses(e *entry) bool {
	return !r.has("/file", "name", strings.TrimPrefix(e.values["root-dir"].(string), "/"))
}

// boot is what a power failure does.
func (r *router) boot() {
	r.cutAt = 0
	for _, e := range slices.Clone(r.tables["/container"]) {
		switch e.state {
		case "extracting":
			e.state = "failed"
		case "deleting":
			r.arrive(e)
		case "running", "stopping":
			e.state = "stopped"
		}
		e.left, e.idle = 0, 0
		if e.state == "stopped" && e.values["start-on-boot"] == true && !r.misses(e) {
			r.start(e)
		}
	}
}

// end stops a container. RouterOS may start it again: with "always" even one that was told to stop,
// as far as is known.
func (r *router) end(e *entry, failed bool) {
	e.state = "stopped"
	if policy := e.values["restart-policy"]; policy == "always" || policy == "on-failure" && failed {
		e.idle = int(span(e.values["restart-interval"]).Seconds())
	}
}

// span reads a time as the scripts write it.
func span(v any) time.Duration {
	d, err := time.ParseDuration(fmt.Sprint(v))
	if err != nil {
		panic(err)
	}
	return d
}

// watch is what RouterOS does about a container each second.
func (r *router) watch(e *entry) {
	if e.state == "stopped" && e.idle > 0 {
		e.idle--
		if e.idle == 0 {
			r.start(e)
		}
	}
	if e.state != "running" {
		return
	}
	e.up++
	// The image has a health check of its own, which RouterOS calls unless it is told of another.
	check, interval, retries, grace := any("/usr/local/bin/healthcheck"), time.Minute, int64(3), time.Minute
	if own := e.values["healthcheck-cmd"]; own != nil {
		check, interval, retries, grace = own, span(e.values["healthcheck-interval"]), e.values["healthcheck-retries"].(int64), span(e.values["healthcheck-start-period"])
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
	if e.failed >= int(retries) && e.values["stop-on-unhealthy"] == true {
		// Nobody has said whether that counts as a failure.
		r.end(e, false)
	}
}

// state is what the daemon in a container says of itself, or nothing.
func (r *router) state(e *entry) string {
	id, _ := e.values["image-id"].(string)
	switch late, ok := r.late[id]; {
	case r.hangs[id]:
		return ""
	case ok && e.up < late || e.up < 8:
		return "NoState"
	}
	if state, ok := r.states[id]; ok {
		return state
	}
	return "Running"
}

// shell runs a command in a container.
func (r *router) shell(e *entry, args map[string]any) any {
	if args["cmd"] != "/usr/local/bin/healthcheck" {
		panic(fmt.Sprintf("no command %v", args["cmd"]))
	}
	if e.state != "running" || r.mute {
		fail("failure: container not running")
	}
	if r.hangs[e.values["image-id"].(string)] {
		r.wait(int(args["timeout"].(int64)))
	}
	return map[string]any{"output": r.state(e) + "\n"}
}

func (r *router) start(e *entry) {
	r.starts++
	e.state, e.up, e.failed, e.idle = "running", 0, 0, 0
	if r.crashes[e.values["image-id"].(string)] {
		e.left = 4
	}
}

// running are the images of the containers that run.
func (r *router) running() []string {
	var all []string
	for _, e := range r.tables["/container"] {
		if e.state == "running" {
			all = append(all, e.values["image-id"].(string))
		}
	}
	return all
}

// do is every command with a menu.
func (r *router) do(c *console, n node, s *scope, menu, command string) any {
	if menu == "/tool" && command == "fetch" {
		return r.fetch(c, n, s)
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
		if single, ok := r.singles[menu]; ok {
			v, ok := single[plain[0].text]
			if !ok {
				broken(n, "%s has no value %s", menu, plain[0].text)
			}
			return v
		}
		return r.one(menu, c.eval(plain[0], s, menu)).values[plain[1].text]
	}
	r.changed()
	switch command {
	case "add":
		r.add(n, menu, args)
	case "set":
		if single, ok := r.singles[menu]; ok {
			for k, v := range args {
				single[k] = v
			}
			return nil
		}
		e := r.one(menu, c.eval(plain[0], s, menu))
		for k, v := range args {
			e.values[k] = v
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

// changed counts a change, and spoils it where a test wants it so.
func (r *router) changed() {
	r.changes++
	if r.cutAt == r.changes {
		panic(powerFailure{errors.New("power failure")})
	}
	if r.failAt == r.changes {
		fail("failure: it does not work")
	}
}

func (r *router) one(menu string, id any) *entry {
	for _, e := range r.tables[menu] {
		if e.id == id {
			return e
		}
	}
	fail("no such item")
	return nil
}

func (r *router) find(c *console, n node, s *scope, menu string) any {
	entries := r.tables[menu]
	if menu == "/interface" {
		entries = slices.Concat(r.tables["/interface/veth"], r.tables["/interface/bridge"])
	}
	found := []any{}
	for _, e := range entries {
		if !slices.ContainsFunc(n.where, func(w condition) bool { return r.matches(c, w, s, e) == w.negated }) {
			found = append(found, e.id)
		}
	}
	return found
}

func (r *router) matches(c *console, w condition, s *scope, e *entry) bool {
	if w.op == "" {
		return e.flags[w.property] || e.state == w.property
	}
	value, have := fmt.Sprint(c.eval(w.value, s, "")), fmt.Sprint(e.values[w.property])
	if w.op == "~" {
		return regexp.MustCompile(value).MatchString(have)
	}
	return value == have
}

// has says whether a table has an entry with a value.
func (r *router) has(menu, key string, value any) bool {
	return slices.ContainsFunc(r.tables[menu], func(e *entry) bool { return e.values[key] == value })
}

// references says in which table, by which property, the value of an argument has to be.
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

// unique are the properties that two entries of a table can't share.
var unique = map[string]string{"/interface/veth": "name", "/container": "name", "/disk": "slot", "/system/scheduler": "name"}

func (r *router) add(n node, menu string, args map[string]any) {
	for key, value := range args {
		if at, ok := references[menu+"/add "+key]; ok && !r.has(at[0], at[1], value) {
			fail("input does not match any value of %s", key)
		}
	}
	if key := unique[menu]; key != "" && r.has(menu, key, args[key]) {
		fail("failure: already have %s %v", key, args[key])
	}
	e := r.put(menu)
	if before, ok := args["place-before"]; ok {
		delete(args, "place-before")
		at := slices.IndexFunc(r.tables[menu], func(o *entry) bool { return o.id == before })
		if at < 0 || r.tables[menu][at].flags["dynamic"] {
			fail("cannot place before that")
		}
		r.tables[menu] = slices.Insert(slices.DeleteFunc(r.tables[menu], func(o *entry) bool { return o == e }), at, e)
	}
	e.values = args
	if strings.HasSuffix(menu, "/route") {
		e.flags["active"] = true
	}
	if menu == "/container" {
		if _, ok := args["restart-policy"]; !ok && r.minor >= 23 {
			args["restart-policy"] = "no"
		}
		e.state, e.left = "extracting", 20
		args["image-id"] = ""
		args["root-dir"] = "/" + args["root-dir"].(string)
		r.put("/file", "name", strings.TrimPrefix(args["root-dir"].(string), "/"))
		for _, m := range r.tables["/container/mounts"] {
			if m.values["list"] == args["mountlists"] && !r.has("/file", "name", m.values["src"]) {
				r.put("/file", "name", m.values["src"])
			}
		}
		if layers, ok := args["layer-dir"]; ok && !r.has("/file", "name", layers) {
			r.put("/file", "name", layers)
		}
	}
}

func (r *router) act(menu, command string, e *entry) {
	if menu != "/container" {
		if menu == "/interface/veth" && r.has("/container", "interface", e.values["name"]) {
			fail("failure: the interface is used by a container")
		}
		r.drop(menu, e)
		return
	}
	switch {
	case command == "start" && r.misses(e):
		fail("failure: no root directory")
	case command == "start" && e.state == "stopped":
		r.start(e)
	case command == "start":
		fail("failure: cannot start %s", e.state)
	case command == "stop" && e.state == "running":
		e.state, e.left = "stopping", 6
	case command == "stop" && e.idle > 0:
		e.idle = 0
	case command == "stop":
		fail("failure: not running")
	case command == "remove" && (e.state == "running" || e.state == "stopping"):
		fail("failure: cannot remove running")
	default:
		e.state, e.left = "deleting", 5
	}
}

// trusts says whether a service has a certificate authority to trust: a built-in or an imported one.
func (r *router) trusts(service string) bool {
	for _, name := range r.singles["/certificate/settings"]["builtin-trust-store"].([]any) {
		if name == service || name == "all" || name == "default" {
			return true
		}
	}
	return slices.ContainsFunc(r.tables["/certificate"], func(e *entry) bool { return e.flags["trusted"] })
}

// fetch does what /tool/fetch does with the arguments that the scripts give: real requests.
func (r *router) fetch(c *console, n node, s *scope) any {
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
		// RouterOS 7.21.2 is reported to say this of such an address, which is hard to understand.
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
	transport.TLSClientConfig = &tls.Config{RootCAs: r.roots, InsecureSkipVerify: args["check-certificate"] != "true"}
	if r.dial != nil {
		transport.DialContext = r.dial
	}
	defer transport.CloseIdleConnections()
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

// serialize writes a text as JSON.
func serialize(of string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(of) // a text always can be
	return strings.TrimSuffix(b.String(), "\n")
}

// deserialize reads JSON. Strings that look like numbers become numbers, as they do on a router.
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
