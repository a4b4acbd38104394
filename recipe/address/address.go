// Package address checks the addresses that a build downloads from, and keeps the passwords in them out of every
// text.
package address

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Check reports an error if given is not an http or https address. What names the option in the error. An empty
// address is fine: it stands for the default.
func Check(what, given string) error {
	if given != "" && !well(given) {
		return fmt.Errorf("malformed %s %q: want an http or https address", what, Redact(given))
	}
	return nil
}

// CheckProxies reports an error if given is not a GOPROXY setting. The go command itself reads the setting only
// when a download is due.
func CheckProxies(what, given string) error {
	for _, proxy := range strings.FieldsFunc(given, func(r rune) bool { return r == ',' || r == '|' }) {
		directory, isFile := strings.CutPrefix(proxy, "file://")
		if proxy != "direct" && proxy != "off" && !well(proxy) && !(isFile && path.IsAbs(directory)) {
			return fmt.Errorf("malformed %s %q: want an http, https or file address, direct or off, or several with commas between", what, shown(given, proxy))
		}
	}
	return nil
}

// keyForm is what the key of a checksum database looks like.
var keyForm = regexp.MustCompile(`^[^+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$`)

// CheckSumDB reports an error if given is not a GOSUMDB setting. The go command itself knows the keys of two databases.
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

// well reports whether given is the http or https address of something on a host.
func well(given string) bool {
	u, err := url.Parse(given)
	return err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https") && !strings.ContainsAny(given, " \t\r\n")
}

// shown is the part of a setting that an error is about. A password with a comma in it makes two parts, so it is
// the whole setting if that has a password.
func shown(setting, part string) string {
	if strings.Contains(setting, "@") {
		return Redact(setting)
	}
	return Redact(part)
}

// hidden stands where something was left out.
const hidden = "***"

// Redact returns an address without its user name, password and query. It copes with malformed addresses.
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

// parts are an address taken to pieces, as they are written.
type parts struct{ scheme, user, place, query string }

// split takes an address to pieces. A password that nobody has escaped may have any character in it, so it ends at
// the last @.
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
		cutQuery() // an @ behind it is no end of a password
	}
	// The @ of an image's digest ends no password.
	if i := strings.LastIndex(p.place, "@"); i >= 0 && !strings.HasPrefix(p.place[i:], "@sha256:") {
		p.user, p.place = p.place[:i], p.place[i+1:]
	}
	cutQuery()
	return p
}

// shortestValue is how long a value in a query has to be to count as a secret by itself: a shorter one is a
// number or a switch, and occurs in any text.
const shortestValue = 6

// Hide replaces in a text what Redact leaves out of addresses, in the forms in which programs print it. A setting is
// one address, or several as in GOPROXY.
func Hide(text string, settings ...string) string {
	var secrets []string
	for _, setting := range settings {
		secrets = append(secrets, secretsOf(setting)...)
		for _, address := range strings.FieldsFunc(setting, func(r rune) bool { return strings.ContainsRune(" \t\r\n,|", r) }) {
			secrets = append(secrets, secretsOf(address)...)
		}
	}
	// A longer secret may have a shorter one in it.
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
