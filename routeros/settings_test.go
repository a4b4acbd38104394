package routeros

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every option has a setting with a description.
func TestEveryOptionHasASetting(t *testing.T) {
	o := Default()
	pointers := map[any]bool{}
	names := map[string]bool{}
	for _, s := range o.Settings() {
		pointers[s.Value] = true
		if names[s.Name] || s.Usage == "" {
			t.Errorf("the setting %s is there twice, or has no usage", s.Name)
		}
		names[s.Name] = true
	}
	fields := reflect.ValueOf(&o).Elem()
	for i := range fields.NumField() {
		if !pointers[fields.Field(i).Addr().Interface()] {
			t.Errorf("no setting sets %s", fields.Type().Field(i).Name)
		}
	}
}

// Texts that a user types become the values of an option, and back.
func TestSettingsTakeTexts(t *testing.T) {
	for _, c := range []struct {
		name  string
		texts []string
		want  []string
		err   string
	}{
		{name: "disk", texts: []string{" usb1 "}, want: []string{"usb1"}},
		{name: "exit-node", texts: []string{"true"}, want: []string{"true"}},
		{name: "exit-node", texts: []string{"on"}, err: `exit-node is "on": want true or false`},
		{name: "memory", texts: []string{"128"}, want: []string{"128"}},
		{name: "memory", texts: []string{"much"}, err: `memory is "much": want a whole number`},
		{name: "memory", texts: []string{"1", "2"}, err: "2 values for memory: want one"},
		{name: "subnet", texts: []string{"10.0.0.0/8, 192.168.88.0/24\n\n", "fd00::/64"}, want: []string{"10.0.0.0/8", "192.168.88.0/24", "fd00::/64"}},
		{name: "magic-dns", texts: []string{""}},
		{name: "env", texts: []string{"GOGC=50\r\nTS_X=a b,c\n"}, want: []string{"GOGC=50", "TS_X=a b,c"}},
	} {
		o := Default()
		settings := o.Settings()
		s := settings[slices.IndexFunc(settings, func(s Setting) bool { return s.Name == c.name })]
		err := s.Set(c.texts)
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: error %v; want %s", c.name, err, c.err)
			}
		case err != nil || !slices.Equal(s.Get(), c.want):
			t.Errorf("%s is %q (%v); want %q", c.name, s.Get(), err, c.want)
		}
	}
}

// Each problem names a setting, so that a form can show it there.
func TestProblemsNameTheirOption(t *testing.T) {
	o := Default()
	o.Name, o.Disk, o.RouterOS, o.Arch, o.Image, o.Addresses, o.Subnets = "X", "/a b/", "6", "mips", "tailscale", []string{"x"}, []string{"10.0.0.1/8"}
	o.Gateways, o.Hostname, o.LoginServer, o.ExtraArgs, o.Env = []string{"y"}, "a b", "ftp://x", "--hostname=x", []string{"a=b"}
	o.RemoteSubnets, o.Port, o.Root, o.Memory, o.Tmpfs, o.UpdateAt = []string{"x"}, 70000, "ram", 1, 1, "4"
	o.DNS, o.MagicDNS, o.Bridge, o.Firewall = []string{"x"}, []string{"x"}, "bridge", true
	_, err := New(o)
	problems := Problems(err)
	if err == nil || len(problems) != strings.Count(err.Error(), "\n")+1 {
		t.Fatalf("%d problems of the error:\n%v", len(problems), err)
	}
	found := map[string]bool{}
	for _, p := range problems {
		found[p.Option] = true
	}
	for _, want := range []string{"name", "disk", "routeros-version", "arch", "image", "address", "subnet", "gateway", "hostname", "login-server",
		"extra-args", "env", "remote-subnet", "port", "root", "memory", "tmpfs", "update-at", "dns", "magic-dns", "bridge"} {
		if !found[want] {
			t.Errorf("no problem is about %s:\n%v", want, err)
		}
	}
	names := map[string]bool{"site": true}
	for _, s := range o.Settings() {
		names[s.Name] = true
	}
	for option := range found {
		if !names[option] {
			t.Errorf("a problem names %q, which is not a setting", option)
		}
	}
	o = example()
	if _, err := App(o, []Site{{"home", []string{"x"}}}); len(Problems(err)) != 1 || Problems(err)[0].Option != "subnet" {
		t.Errorf("a site's problem: %v", Problems(err))
	}
}
