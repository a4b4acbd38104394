package applets

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCuratedSets(t *testing.T) {
	want := []string{"default", "minimal"}
	if got := Sets(); !slices.Equal(got, want) {
		t.Fatalf("Sets() = %v; want %v", got, want)
	}
	for _, set := range want {
		list, err := Named(set)
		if err != nil {
			t.Fatal(err)
		}
		names := list.Names()
		for _, needed := range []string{"ip", "sh", "mkdir", "mknod", "sysctl", "cat"} {
			if !slices.Contains(names, needed) {
				t.Errorf("the set %s has no %s", set, needed)
			}
		}
		if !slices.IsSorted(names) {
			t.Errorf("the names of the set %s are not sorted: %v", set, names)
		}
		t.Logf("the set %s has %d applets", set, len(names))
	}
	if n := len(must(t, "default").Names()); n < 80 || n > 120 {
		t.Errorf("the default set has %d applets; want about 100", n)
	}
}

func TestNamedRefusesAnUnknownSet(t *testing.T) {
	_, err := Named("huge")
	if err == nil || err.Error() != `unknown applet set "huge": choose one of default, minimal` {
		t.Errorf("error = %v", err)
	}
}

func TestParseKeepsGroups(t *testing.T) {
	list, err := Parse("my.txt", strings.NewReader("\ufeffip # first, without a heading\r\n\r\n[shell]\r\nsh\r\nash\r\n[\r\n[[\r\n[ empty ]\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	groups := list.Groups()
	if len(groups) != 2 || groups[0].Name != "applets" || groups[1].Name != "shell" {
		t.Fatalf("groups = %v", groups)
	}
	if want := []string{"sh", "ash", "[", "[["}; !slices.Equal(groups[1].Applets, want) {
		t.Errorf("applets of the group shell = %q; want %q", groups[1].Applets, want)
	}
	if want := []string{"[", "[[", "ash", "ip", "sh"}; !slices.Equal(list.Names(), want) {
		t.Errorf("names = %q; want %q", list.Names(), want)
	}
}

func TestParseNamesEveryProblemWithItsLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown":         {"ash\nsh\nfoo\n", `my.txt:3: unknown applet "foo"`},
		"doubled":         {"ash\nsh\n\nash\n", `my.txt:4: duplicate applet "ash" (first on line 1)`},
		"doubled unknown": {"foo\nfoo\n", "my.txt:1: unknown applet \"foo\"\nmy.txt:2: duplicate applet \"foo\" (first on line 1)"},
		"two on a line":   {"ash sh\n", `my.txt:1: "ash sh": want one applet per line`},
		"open heading":    {"[shell\nash\nsh\n", `my.txt:1: malformed heading "[shell": want [name]`},
		"empty heading":   {"[]\nash\nsh\n", `my.txt:1: malformed heading "[]": want [name]`},
		"empty":           {"# nothing\n", `my.txt: missing applets ash and sh: the image starts with a shell script`},
		"no shell":        {"ip\n", `my.txt: missing applets ash and sh: the image starts with a shell script`},
		"long line":       {"ash\n" + strings.Repeat("x", 5000), `my.txt:2: the line is longer than 4096 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := Parse("my.txt", strings.NewReader(c.text))
			if err == nil || err.Error() != c.want {
				t.Errorf("error = %v\nwant    %s", err, c.want)
			}
			if len(list.Names()) > 0 {
				t.Errorf("Parse returned an error and the list %v", list.Names())
			}
		})
	}
}

func TestConfig(t *testing.T) {
	list, err := Parse("my.txt", strings.NewReader("ash\nsh\nip\n[\n"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(list.Config(), "\n"), "\n")
	for _, want := range []string{
		"CONFIG_ASH=y", "CONFIG_SH_IS_ASH=y", "CONFIG_IP=y", "CONFIG_FEATURE_IP_ROUTE=y", "CONFIG_TEST1=y",
		"CONFIG_STATIC=y", "CONFIG_LFS=y", `CONFIG_FEATURE_IP_ROUTE_DIR="/etc/iproute2"`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("the configuration has no %s", want)
		}
	}
	if !slices.IsSorted(lines) || len(slices.Compact(slices.Clone(lines))) != len(lines) {
		t.Error("the configuration is not sorted, or has a line twice")
	}
}

// The health check talks to a Unix socket, the entrypoint reads signed numbers, and after a crash the shell must
// still find its applets. So the image relies on these options besides the applets themselves.
func TestWhatEveryConfigurationTurnsOn(t *testing.T) {
	list, err := Named("minimal")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(list.Config(), "\n")
	for _, want := range []string{"CONFIG_STATIC=y", "CONFIG_LFS=y", "CONFIG_FEATURE_UNIX_LOCAL=y"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the configuration has no line %s:\n%s", want, list.Config())
		}
	}
	// Each line of base.config is in the configuration.
	for line := range strings.Lines(baseText) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if !found {
			value = "y"
		}
		if !slices.Contains(lines, "CONFIG_"+name+"="+value) {
			t.Errorf("base.config has %s, and the configuration has not", name)
		}
	}
}

// A packed binary can't find itself through /proc/self/exe.
func TestNothingMakesTheShellRunAppletsByItself(t *testing.T) {
	list, err := Parse("all", strings.NewReader(strings.Join(Catalogue(), "\n")))
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"FEATURE_SH_STANDALONE", "FEATURE_SH_NOFORK", "FEATURE_PREFER_APPLETS"} {
		if strings.Contains(list.Config(), never) {
			t.Errorf("the configuration has %s", never)
		}
	}
}

func TestCatalogueIsWellFormed(t *testing.T) {
	symbol := regexp.MustCompile(`^[A-Z0-9_]+$`)
	value := regexp.MustCompile(`^(y|[0-9]+|"[^"]*")$`)
	values := map[string]string{}
	for name, options := range catalogue {
		for _, o := range options {
			if !symbol.MatchString(o.symbol) || !value.MatchString(o.value) {
				t.Errorf("%s: malformed option %s", name, o.line())
			}
			if before, ok := values[o.symbol]; ok && before != o.value {
				t.Errorf("%s: %s has another value with another applet", name, o.symbol)
			}
			values[o.symbol] = o.value
		}
	}
	if len(catalogue) < 300 {
		t.Errorf("the catalogue has %d applets", len(catalogue))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[shell]\nash\nsh\n")
	f.Add("[\n[[\n[x]\n]\n# c\n")
	f.Add("\ufeffash\r\nsh\r\nash\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse("f", strings.NewReader(text))
		if (err == nil) != (len(list.Names()) > 0) {
			t.Fatalf("%d applets with the error %v", len(list.Names()), err)
		}
		for _, name := range list.Names() {
			if _, ok := catalogue[name]; !ok {
				t.Fatalf("Parse accepts the unknown applet %q", name)
			}
		}
	})
}

// The provenance contains the list as JSON.
func TestAListAsJSON(t *testing.T) {
	list, err := Parse("mine", strings.NewReader("# files\nash\ncp\nsh\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(list)
	if err != nil || string(text) != `["ash","cp","sh"]` {
		t.Errorf("the list is %s, %v", text, err)
	}
}

func TestAListIsReadBackFromJSON(t *testing.T) {
	want := must(t, "default")
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got List
	if err := json.Unmarshal(text, &got); err != nil || got.Config() != want.Config() || !slices.Equal(got.Names(), want.Names()) {
		t.Errorf("read back are %v (%v); want %v", got.Names(), err, want.Names())
	}
	for text, want := range map[string]string{
		`["ash","sh","nope"]`:      `unknown applet "nope"`,
		`["ash","sh","ls # cat"]`:  `unknown applet "ls # cat"`,
		`["ash","sh","[network]"]`: `unknown applet "[network]"`,
		`["ash"]`:                  "missing applets ash and sh",
		`"ash"`:                    "cannot unmarshal",
	} {
		if err := json.Unmarshal([]byte(text), &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v; want it to say %q", text, err, want)
		}
	}
}

func must(t *testing.T, set string) List {
	t.Helper()
	list, err := Named(set)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
