package deploy_test

import (
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/routeros/deploy"
)

func TestAddresses(t *testing.T) {
	for given, want := range map[string]deploy.Address{
		"192.168.88.1":             {User: "admin", Host: "192.168.88.1", Port: 22},
		"me@192.168.88.1:2222":     {User: "me", Host: "192.168.88.1", Port: 2222},
		"admin@router.example":     {User: "admin", Host: "router.example", Port: 22},
		"admin@fd00::1":            {User: "admin", Host: "fd00::1", Port: 22},
		"admin@[fd00::1]":          {User: "admin", Host: "fd00::1", Port: 22},
		"admin@[fd00::1]:2222":     {User: "admin", Host: "fd00::1", Port: 2222},
		"first.last+x@router:2222": {User: "first.last+x", Host: "router", Port: 2222},
	} {
		got, err := deploy.ParseAddress(given)
		if err != nil || got != want {
			t.Errorf("%q is %+v (%v); want %+v", given, got, err, want)
		}
		// The output can be parsed again.
		if again, err := deploy.ParseAddress(got.String()); err != nil || again != want {
			t.Errorf("%q is written %q, which is %+v (%v)", given, got, again, err)
		}
	}
	for _, given := range []string{"", "admin@", "@router", "a b@router", "router:", "router:0", "router:65536", "ssh://router", "admin@-x", "admin@a_b"} {
		if a, err := deploy.ParseAddress(given); err == nil || !strings.Contains(err.Error(), `malformed router "`+given+`"`) {
			t.Errorf("%q is %+v (%v)", given, a, err)
		}
	}
}

func TestAddressesInTheTailnetAreRefused(t *testing.T) {
	for address, good := range map[string]bool{
		"192.168.88.1:22": true, "[fd00::1]:22": true, "100.128.0.1:22": true,
		"100.64.0.1:22": false, "[fd7a:115c:a1e0::1]:22": false, "[::ffff:100.64.0.1]:22": false,
	} {
		if err := deploy.CheckRemote(address); (err == nil) != good {
			t.Errorf("%s: error = %v; want accepted: %v", address, err, good)
		}
	}
}
