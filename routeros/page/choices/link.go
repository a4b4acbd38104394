package choices

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/routeros"
)

var (
	// secretName matches names of variables that can contain a secret.
	secretName = regexp.MustCompile(`KEY|SECRET|TOKEN|PASS|CREDENTIAL`)
	// secretValue matches Tailscale's keys, and options with one.
	secretValue = regexp.MustCompile(`(?i)tskey-|auth-?key|//[^/]*@|^[^/]*:[^/]*@`)
)

// Link returns the fragment of a link with the choices that differ from others, the initial choices of the page. It
// leaves out choices that can contain a secret, and returns their names as omitted.
func Link(c, others Choices) (fragment string, omitted []string) {
	mine, theirs := normal(c), normal(others)
	var all []string
	for _, name := range Names() {
		values := mine[name]
		if slices.Equal(values, theirs[name]) {
			continue
		}
		open := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return isSecret(name, v) })
		if len(open) < len(values) {
			omitted = append(omitted, name)
			if len(open) == 0 {
				continue
			}
		}
		if len(open) == 0 {
			open = []string{""} // an empty list
		}
		for _, value := range open {
			all = append(all, name+"="+readable.Replace(url.QueryEscape(value)))
		}
	}
	return strings.Join(all, "&"), omitted
}

// readable reverts escapes that a fragment does not need.
var readable = strings.NewReplacer("%2F", "/", "%3A", ":", "%2C", ",")

func isSecret(name, value string) bool {
	if name == "env" {
		variable, _, _ := strings.Cut(value, "=")
		if secretName.MatchString(variable) {
			return true
		}
	}
	// The setting for a key file on the router has a name that looks like a secret's, but its value is true or false.
	return secretValue.MatchString(value)
}

// normal returns the choices with all defaults, and with lists split into their values. Values that a setting refuses
// don't change.
func normal(c Choices) Choices {
	all := Choices{}
	o := routeros.Default()
	for _, s := range o.Settings() {
		all[s.Name] = s.Get()
		if texts, ok := c[s.Name]; ok {
			if err := s.Set(texts); err != nil {
				all[s.Name] = texts
				continue
			}
			all[s.Name] = s.Get()
		}
	}
	all[Script] = []string{Scripts}
	if isApp(c) {
		all[Script] = []string{App}
	}
	all[Site] = lines(c[Site])
	return all
}
