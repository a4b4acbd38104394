package supervisor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// quotes are the quotes around values that people use, including those of phones and office programs.
const quotes = "\"'`“”„‘’«»"

// trim removes white space and quotes around a value, which come from copying it out of a shell script, a compose
// file or a web page.
func trim(text string) string {
	for {
		trimmed := strings.TrimFunc(text, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff' || r == '\u200b'
		})
		if first := []rune(trimmed); len(first) > 1 && strings.ContainsRune(quotes, first[0]) && strings.ContainsRune(quotes, first[len(first)-1]) {
			trimmed = string(first[1 : len(first)-1])
		}
		if trimmed == text {
			return text
		}
		text = trimmed
	}
}

// parseBool parses the words that people use for yes and no.
func parseBool(text string) (value, ok bool) {
	switch strings.ToLower(trim(text)) {
	case "1", "t", "true", "y", "yes", "on", "enable", "enabled":
		return true, true
	case "0", "f", "false", "n", "no", "off", "disable", "disabled":
		return false, true
	}
	return false, false
}

// splitList splits a list at commas, semicolons and white space.
func splitList(text string) []string {
	all := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
	var entries []string
	for _, e := range all {
		if e = trim(e); e != "" {
			entries = append(entries, e)
		}
	}
	return entries
}

// parsePrefix parses one network, with a prefix length or a mask.
func parsePrefix(text string) (netip.Prefix, error) {
	address, length, found := strings.Cut(text, "/")
	if !found {
		return netip.Prefix{}, errors.New("it has no prefix length, as in 192.168.88.0/24")
	}
	if mask, err := netip.ParseAddr(length); err == nil && mask.Is4() {
		ones, bits := net.IPMask(mask.AsSlice()).Size()
		if bits == 0 {
			return netip.Prefix{}, fmt.Errorf("%s is not a network mask", length)
		}
		length = strconv.Itoa(ones)
	}
	p, err := netip.ParsePrefix(address + "/" + length)
	if err != nil {
		return p, errors.New("want a network, as in 192.168.88.0/24")
	}
	if p.Addr().Is4In6() {
		return p, errors.New("write IPv4 networks as 192.168.88.0/24")
	}
	return p, nil
}

// cleanPrefixes cleans a list of networks. It ignores and logs wrong entries, and masks host bits. exit is true if the list contains the whole internet, which is an exit node and has its own flag.
func (r *reader) cleanPrefixes(name, text string) (clean string, exit bool) {
	var all []string
	seen := map[netip.Prefix]bool{}
	for _, entry := range splitList(text) {
		p, err := parsePrefix(entry)
		if err == nil && p != p.Masked() {
			r.logf("%s: %s has host bits set: using %s", name, entry, p.Masked())
			p = p.Masked()
		}
		switch {
		case err == nil && p.Bits() == 0:
			exit = true
			r.logf("%s: %s is the whole internet: advertising an exit node", name, entry)
			continue
		case err == nil && seen[p]:
			continue
		case err == nil:
			err = r.release.CheckUp("advertise-routes", p.String())
		}
		if err != nil {
			r.logf("%s: ignoring %q: %v", name, entry, err)
			continue
		}
		seen[p] = true
		all = append(all, p.String())
	}
	return strings.Join(all, ","), exit
}

// cleanHostname returns a name that a tailnet accepts.
func (r *reader) cleanHostname(name, text string) string {
	clean := strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.':
			return c
		}
		return '-'
	}, text)
	var labels []string
	for label := range strings.SplitSeq(clean, ".") {
		label = strings.Trim(label, "-")
		if len(label) > 63 {
			label = strings.TrimRight(label[:63], "-")
		}
		if label != "" {
			labels = append(labels, label)
		}
	}
	for clean = strings.Join(labels, "."); len(clean) > 253; clean = strings.Join(labels, ".") {
		labels = labels[:len(labels)-1]
	}
	if clean != "" {
		if err := r.release.CheckUp("hostname", clean); err != nil {
			clean = ""
		}
	}
	switch {
	case clean == "":
		r.logf("%s: %q can't be a hostname: using the container's", name, text)
	case clean != text:
		r.logf("%s: %q can't be a hostname: using %q", name, text, clean)
	}
	return clean
}

// cleanURL cleans the address of a control server.
func (r *reader) cleanURL(name, text string) string {
	full := text
	if !strings.Contains(full, "://") {
		full = "https://" + full
		r.logf("%s: %s has no scheme: using %s", name, redact(text), redact(full))
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.ContainsFunc(u.Host, unicode.IsSpace) {
		r.logf("%s: ignoring %q: want an address such as https://headscale.example", name, redact(text))
		return ""
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}

// redact removes the user name and password from an address.
func redact(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", address
	} else {
		scheme += "://"
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		return scheme + "…" + rest[at:]
	}
	return address
}

// cleanListen cleans an address with a port. A port without an address means all addresses.
func (r *reader) cleanListen(name, text string) string {
	address := text
	if _, err := strconv.Atoi(text); err == nil {
		address = ":" + text
	}
	host, port, err := net.SplitHostPort(address)
	if number, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || number == 0 && port != "0" || strings.ContainsFunc(host, unicode.IsSpace) {
		r.logf("%s: ignoring %q: want an address and a port, as in 127.0.0.1:1055", name, text)
		return ""
	}
	return address
}

// cleanTags cleans the names of tags, with or without "tag:".
func (r *reader) cleanTags(name, text string) string {
	var all []string
	for _, entry := range splitList(text) {
		if !strings.Contains(entry, ":") {
			entry = "tag:" + entry
		}
		if err := r.release.CheckUp("advertise-tags", entry); err != nil {
			r.logf("%s: ignoring %q: %v", name, entry, err)
			continue
		}
		all = append(all, entry)
	}
	return strings.Join(all, ",")
}

// parseMemory parses a size in bytes in the forms that Go's runtime and people write: 48MiB, 48M, 50331648.
func parseMemory(text string) (bytes int64, ok bool) {
	if strings.EqualFold(text, "off") {
		return noMemoryLimit, true
	}
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	number, err := strconv.ParseInt(text[:end], 10, 64)
	unit := strings.ToLower(strings.TrimSpace(text[end:]))
	unit = strings.TrimSuffix(strings.TrimSuffix(unit, "b"), "i")
	shift := strings.Index("kmgt", unit)
	if unit == "" {
		shift = -1
	}
	if err != nil || len(unit) > 1 || unit != "" && shift < 0 {
		return 0, false
	}
	if bytes = number << (10 * (shift + 1)); bytes <= 0 || bytes>>(10*(shift+1)) != number {
		return 0, false
	}
	return bytes, true
}

// noMemoryLimit is the value with which Go's runtime has no limit.
const noMemoryLimit = 1<<63 - 1
