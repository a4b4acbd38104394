package choices_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/page/choices"
)

func withImage(more choices.Choices) choices.Choices {
	c := choices.Choices{"image": {"ghcr.io/me/tailscale:stable"}}
	maps.Copy(c, more)
	return c
}

func TestWrite(t *testing.T) {
	a := choices.Write(withImage(choices.Choices{"subnet": {"192.168.88.0/24\n10.0.0.0/8"}, "disk": {"usb1"}, "auth-key-file": {"true"}}))
	o := routeros.Default()
	o.Image, o.Subnets, o.Disk, o.AuthKeyFile = "ghcr.io/me/tailscale:stable", []string{"192.168.88.0/24", "10.0.0.0/8"}, "usb1", true
	want, err := routeros.New(o)
	if err != nil || a.Message != "" || !slices.Equal(a.Files, want) {
		t.Errorf("message %q, %d files (%v)", a.Message, len(a.Files), err)
	}
	if len(a.Additions) < 10 {
		t.Errorf("additions: %v", a.Additions)
	}
	if last := a.Steps[len(a.Steps)-1]; last.Command != "/import usb1/tailscale-install.rsc" || !strings.Contains(a.Steps[1].What, "usb1/tailscale-state/authkey") {
		t.Errorf("steps: %v", a.Steps)
	}
}

func TestWriteAnApp(t *testing.T) {
	a := choices.Write(withImage(choices.Choices{"script": {"app"}, "site": {"home=192.168.88.0/24\noffice=192.168.89.0/24\n"}}))
	if len(a.Files) != 5 || a.Files[0].Name != "tailscale.tikappstore.yaml" || !strings.Contains(a.Steps[0].Command, "app-store-urls") {
		t.Errorf("message %q, files %v, steps %v", a.Message, a.Files, a.Steps)
	}
	a = choices.Write(withImage(choices.Choices{"script": {"app"}}))
	if len(a.Files) != 3 || a.Steps[1].Command != "/import tailscale-app-setup.rsc" {
		t.Errorf("message %q, steps %v", a.Message, a.Steps)
	}
}

func TestWriteReportsProblems(t *testing.T) {
	for name, c := range map[string]struct {
		choices choices.Choices
		want    []string
	}{
		"nothing":      {nil, []string{"neither an image nor a tarball"}},
		"number":       {withImage(choices.Choices{"memory": {"much"}, "port": {"x"}}), []string{`memory is "much": want a whole number`, `port is "x"`}},
		"switch":       {withImage(choices.Choices{"firewall": {"on"}}), []string{`firewall is "on": want true or false`}},
		"script":       {withImage(choices.Choices{"script": {"all"}}), []string{`unknown script "all": want scripts, or app`}},
		"site, no app": {withImage(choices.Choices{"site": {"home="}}), []string{"sites are for apps"}},
	} {
		a := choices.Write(c.choices)
		if len(a.Files)+len(a.Additions)+len(a.Steps) > 0 {
			t.Errorf("%s: the answer is not empty: %v", name, a)
		}
		for _, want := range c.want {
			if !strings.Contains(a.Message, want) {
				t.Errorf("%s: the message is %q; want %q", name, a.Message, want)
			}
		}
	}
}

// A page may start without an image, but not with wrong choices.
func TestCheck(t *testing.T) {
	if err := choices.Check(nil); err != nil {
		t.Error(err)
	}
	if err := choices.Check(choices.Choices{"firewall": {"true"}, "tarball": {"usb1/x.tar"}}); err != nil {
		t.Error(err)
	}
	for want, c := range map[string]choices.Choices{
		`unknown option "color": want one of name, image`: {"color": {"red"}},
		`malformed subnet "x"`:                            {"subnet": {"x"}},
		`malformed image "tailscale"`:                     {"image": {"tailscale"}},
	} {
		if err := choices.Check(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
}

func TestParse(t *testing.T) {
	c, err := choices.Parse([]string{"subnet=10.0.0.0/8", "subnet=192.168.88.0/24", "env=A=b"})
	if err != nil || !slices.Equal(c["subnet"], []string{"10.0.0.0/8", "192.168.88.0/24"}) || c.Get("env") != "A=b" {
		t.Errorf("%v (%v)", c, err)
	}
	if _, err := choices.Parse([]string{"firewall"}); err == nil || !strings.Contains(err.Error(), `malformed option "firewall": want NAME=VALUE`) {
		t.Errorf("error %v", err)
	}
}

// A link results in the same choices again.
func TestALinkCarriesChoices(t *testing.T) {
	c := withImage(choices.Choices{
		"subnet": {"192.168.88.0/24\n10.0.0.0/8"}, "env": {"GOGC=50\nTS_X=a b&c"}, "extra-args": {"--advertise-tags=tag:router,tag:home"},
		"magic-dns": {""}, "wan-list": {""}, "exit-node": {"true"}, "tmpfs": {"32"}, "script": {"scripts"},
	})
	link, omitted := choices.Link(c, nil)
	if want := "image=ghcr.io/me/tailscale:stable&subnet=192.168.88.0/24&subnet=10.0.0.0/8&exit-node=true&extra-args=--advertise-tags%3Dtag:router,tag:home" +
		"&env=GOGC%3D50&env=TS_X%3Da+b%26c&magic-dns=&wan-list="; link != want || omitted != nil {
		t.Errorf("the link is\n%s\nwithout %q; want\n%s", link, omitted, want)
	}
	again, err := url.ParseQuery(link)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := choices.Write(again), choices.Write(c); !slices.Equal(got.Files, want.Files) || len(got.Files) == 0 {
		t.Error("the link results in other scripts")
	}
	if link, _ := choices.Link(c, c); link != "" {
		t.Errorf("nothing differs, but the link is %s", link)
	}
}

func TestALinkCarriesNoSecret(t *testing.T) {
	for _, c := range []choices.Choices{
		{"env": {"TS_CLIENT_SECRET=hidden", "GOGC=50"}},
		{"env": {"TS_AUTHKEY=hidden"}},
		{"env": {"MY_VARIABLE=tskey-auth-hidden"}},
		{"extra-args": {"--auth-key=hidden"}},
		{"extra-args": {"--authkey hidden"}},
		{"login-server": {"https://me:hidden@headscale.example"}},
		{"token-url": {"https://hidden@auth.example/token"}},
		{"image": {"me:hidden@ghcr.io/me/tailscale:stable"}, "hostname": {"tskey-client-hidden"}},
	} {
		link, omitted := choices.Link(c, nil)
		if strings.Contains(link, "hidden") || len(omitted) == 0 {
			t.Errorf("%v: the link is %s, without %q", c, link, omitted)
		}
	}
}
