package address

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for given, want := range map[string]string{
		"":                                 "",
		"http://mirror.example/debian":     "",
		"https://robot:s3cret@mirror/x":    "",
		"ftp://x":                          `malformed mirror "ftp://x": want an http or https address`,
		"http://":                          `malformed mirror "http://"`,
		"mirror.example":                   `malformed mirror "mirror.example"`,
		"http://mirror.example/a b":        `malformed mirror "http://mirror.example/a b"`,
		"ftp://robot:s3cret@mirror/x":      `malformed mirror "ftp://***@mirror/x"`,
		"http:/robot:s3cret@mirror":        `malformed mirror "***@mirror"`,
		"https://robot:s3cret/@,?@mirror/": `malformed mirror "https://***@mirror/"`,
		"ftp://mirror/x?token=s3cret":      `malformed mirror "ftp://mirror/x?***"`,
	} {
		compare(t, given, Check("mirror", given), want)
	}
}

func TestCheckProxies(t *testing.T) {
	for given, want := range map[string]string{
		"":                                       "",
		"https://proxy.example,direct":           "",
		"https://robot:s3cret@a|file:///srv,off": "",
		"https://proxy.example,somewhere":        `malformed proxy "somewhere": want an http, https or file address, direct or off`,
		"https://robot:s3cret@a,ftp://b":         `malformed proxy "https://***@a,ftp://b"`,
		"https://robot:s3cret,s3cret@a":          `malformed proxy "https://***@a"`,
	} {
		compare(t, given, CheckProxies("proxy", given), want)
	}
}

func TestCheckSumDB(t *testing.T) {
	for given, want := range map[string]string{
		"":                         "",
		"sum.example+01234567+Ab=": "",
		"off":                      "",
		"sum.golang.org":           "",
		"sum.golang.org https://robot:s3cret@mirror": "",
		"https://robot:s3cret@mirror":                `malformed database "https://***@mirror": want off, sum.golang.org or NAME+HASH+KEY`,
		"sum.golang.org ftp://robot:s3cret@mirror":   `malformed database "sum.golang.org ftp://***@mirror"`,
		"a b c": `malformed database "a b c"`,
	} {
		compare(t, given, CheckSumDB("database", given), want)
	}
}

func compare(t *testing.T, given string, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%q: %v; want no error", given, err)
		}
		return
	}
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%q: error %v; want %s", given, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%q: the error contains the password: %v", given, err)
	}
}

func TestRedactKeepsEverythingElse(t *testing.T) {
	for given, want := range map[string]string{
		"https://mirror.example:8080/debian/":     "https://mirror.example:8080/debian/",
		"https://t0ken@mirror.example/":           "https://***@mirror.example/",
		"https://mirror/x?a=b@c":                  "https://mirror/x?***",
		"robot:s3cret@registry.example/tailscale": "***@registry.example/tailscale",
		"registry.example/tailscale@sha256:00":    "registry.example/tailscale@sha256:00",
	} {
		if got := Redact(given); got != want {
			t.Errorf("Redact(%q) = %q; want %q", given, got, want)
		}
	}
}

// Programs print passwords as written, without their escapes, or escaped in another way.
func TestHideFindsEveryFormOfASecret(t *testing.T) {
	settings := []string{
		"https://robot:s3cr%2Fe%20t@proxy.example,https://t0ken@second.example|direct",
		"sum.golang.org https://robot:other@sums.example",
		"https://mirror.example/x?sig=0123456789&v=1",
		"https://robot:longer-s3cr@mirror.example", "",
	}
	for text, want := range map[string]string{
		"Get https://robot:s3cr%2Fe%20t@proxy.example/x":  "Get https://***@proxy.example/x",
		"password s3cr/e t refused":                       "password *** refused",
		"form s3cr%2Fe+t and path s3cr%2Fe%20t":           "form *** and path ***",
		"https://t0ken@second.example: 404":               "https://***@second.example: 404",
		"https://sums.example: other":                     "https://sums.example: ***",
		"https://mirror.example/x?sig=0123456789&v=1: no": "https://mirror.example/x?***: no",
		"signature 0123456789 of version 1":               "signature *** of version 1",
		"longer-s3cr":                                     "***",
		"robot at proxy.example":                          "robot at proxy.example",
	} {
		if got := Hide(text, settings...); got != want {
			t.Errorf("Hide(%q) = %q; want %q", text, got, want)
		}
	}
	if got := Hide("nothing to hide"); got != "nothing to hide" {
		t.Errorf("without any address: %q", got)
	}
}
