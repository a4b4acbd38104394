// Package address checks download addresses and removes their passwords from texts.
package address

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Check returns an error if given is not an http or https address. what is the name of the option. An empty address
// is valid: it means the default.
func Check(what, given string) error {
	if given != "" && !well(given) {
		return fmt.Errorf("malformed %s %q: want an http or https address", what, Redact(given))
	}
	return nil
}

// CheckProxies returns an error if given is not a GOPROXY setting. The go command itself only checks the setting when
// it downloads something.
func CheckProxies(what, given string) error {
	for _, proxy := range strings.FieldsFunc(given, func(r rune) bool { return r == ',' || r == '|' }) {
		directory, isFile := strings.CutPrefix(proxy, "file://")
		if proxy != "direct" && proxy != "off" && !well(proxy) && !(isFile && path.IsAbs(directory)) {
			return fmt.Errorf("malformed %s %q: want an http, https or file address, direct or off, or several with commas between", what, shown(given, proxy))
		}
	}
	return nil
}

// keyForm matches the key of a checksum database.
var keyForm = regexp.MustCompile(`^[^+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$`)

// CheckSumDB returns an error if given is not a GOSUMDB setting. The go command itself knows the keys of two
// databases.
func CheckSumDB(what, given string) error {
	fields := strings.Fields(given)
	switch {
	case given == "" || given == "off":
		return nil
	case len(fields) == 0 || len(fields) > 2 || len(fields) == 2 && !well(fields[1]):
	case slices.Contains([]string{"sum.golang.org", "sum.golang.google.cn"}, fields[0]) || keyForm.MatchString(fields[0]):
		return nil
	}
	return fmt.Errorf("malformed %s %q: want off, sum.golang.org or NAME+HASH+KEY, with an http or https address after it if it is served elsewhere", what, Redact(given))
}

// well reports whether given is an http or https address with a host.
func well(given string) bool {
	u, err := url.Parse(given)
	return err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https") && !strings.ContainsAny(given, " \t\r\n")
}

// shown returns the part of a setting to show in an error. A password that contains a comma is split into two parts,
// so if the setting contains a password, shown returns the whole setting.
func shown(setting, part string) string {
	if strings.Contains(setting, "@") {
		return Redact(setting)
	}
	return Redact(part)
}

// hidden replaces secrets.
const hidden = "***"

// Redact returns an address without its user name, password and query. It also accepts malformed addresses.
func Redact(address string) string {
	p := split(address)
	text := p.scheme
	if p.user != "" {
		text += hidden + "@"
	}
	text += p.place
	if p.query != "" {
		text += "?" + hidden
	}
	return text
}

// parts are the parts of an address, as written.
type parts struct{ scheme, user, place, query string }

// split splits an address. A password that isn't escaped may contain any character, so it ends at the last @.
func split(address string) parts {
	p := parts{place: address}
	if i := strings.Index(address, "//"); i >= 0 {
		p.scheme, p.place = address[:i+2], address[i+2:]
	}
	cutQuery := func() {
		if i := strings.IndexAny(p.place, "?#"); i >= 0 {
			p.place, p.query = p.place[:i], p.place[i+1:]
		}
	}
	if _, err := url.Parse(address); err == nil {
		cutQuery() // an @ after it doesn't end a password
	}
	// The @ of an image's digest doesn't end a password.
	if i := strings.LastIndex(p.place, "@"); i >= 0 && !strings.HasPrefix(p.place[i:], "@sha256:") {
		p.user, p.place = p.place[:i], p.place[i+1:]
	}
	cutQuery()
	return p
}

// shortestValue is the minimum length of a query value that counts as a secret. Shorter values are numbers or
// switches, which occur in any text.
const shortestValue = 6

// Hide replaces everything in a text that Redact removes from addresses, in all forms in which programs print it. A
// setting is one address, or several as in GOPROXY.
func Hide(text string, settings ...string) string {
	var secrets []string
	for _, setting := range settings {
		secrets = append(secrets, secretsOf(setting)...)
		for _, address := range strings.FieldsFunc(setting, func(r rune) bool { return strings.ContainsRune(" \t\r\n,|", r) }) {
			secrets = append(secrets, secretsOf(address)...)
		}
	}
	// A longer secret may contain a shorter one.
	slices.SortStableFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range secrets {
		if s != "" {
			pairs = append(pairs, s, hidden)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func secretsOf(address string) []string {
	p := split(address)
	all := []string{p.user, p.query}
	name, password, _ := strings.Cut(p.user, ":")
	raw := []string{password}
	if password == "" {
		raw = []string{name} // a token
	}
	for part := range strings.SplitSeq(p.query, "&") {
		if _, value, _ := strings.Cut(part, "="); len(value) >= shortestValue {
			raw = append(raw, value)
		}
	}
	for _, text := range raw {
		all = append(all, text)
		if plain, err := url.PathUnescape(text); err == nil {
			all = append(all, plain, url.QueryEscape(plain), url.PathEscape(plain), url.UserPassword("", plain).String()[1:])
		}
	}
	return all
}
