package deploy

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// DefaultUser is the user of a new router.
const DefaultUser = "admin"

// Address is a router's host and port, and the user who logs in.
type Address struct {
	User, Host string
	Port       uint16
}

var (
	userForm = regexp.MustCompile(`^[A-Za-z0-9._+-]+$`)
	hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
)

// ParseAddress parses the address of a router, for example admin@192.168.88.1 or router.example:2222. The defaults
// are the user admin and port 22.
func ParseAddress(text string) (Address, error) {
	malformed := fmt.Errorf("malformed router %q: want user@host or user@host:port, for example admin@192.168.88.1", text)
	a := Address{User: DefaultUser, Port: 22}
	if user, rest, ok := strings.Cut(text, "@"); ok {
		a.User, text = user, rest
	}
	a.Host = text
	if ip, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		a.Host = ip.String()
	} else if host, port, err := net.SplitHostPort(text); err == nil {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return Address{}, malformed
		}
		a.Host, a.Port = host, uint16(number)
	}
	if _, err := netip.ParseAddr(a.Host); err != nil && !hostForm.MatchString(a.Host) || !userForm.MatchString(a.User) {
		return Address{}, malformed
	}
	return a, nil
}

// String returns the address in the form that ParseAddress accepts, without the default port.
func (a Address) String() string {
	if a.Port == 22 {
		return a.User + "@" + a.Host
	}
	return a.User + "@" + a.dial()
}

func (a Address) dial() string { return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port))) }
