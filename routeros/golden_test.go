package routeros

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
	"dagger/mikrotik-tailscale/routeros/routertest"
)

var update = flag.Bool("update", false, "write the golden files again")

// examples has one installation for each option, in which that option differs from the default.
var examples = map[string]func(*Options){
	"Name":    func(o *Options) { o.Name = "ts-home" },
	"Image":   func(o *Options) { o.Image = "registry.example:5000/routers/tailscale:1.102.5-mt.1-armv5" },
	"Tarball": func(o *Options) { o.Image, o.Tarball = "", "/usb1/tailscale-arm64.tar" },
	"Checksum": func(o *Options) {
		o.Image, o.Tarball, o.Checksum = "", "usb1/tailscale-arm64.tar", "sha256:"+strings.Repeat("0a", 32)
	},
	"Disk":     func(o *Options) { o.Disk = "usb1" },
	"Root":     func(o *Options) { o.Root, o.Disk = RootMemory, "flash" },
	"Arch":     func(o *Options) { o.Arch = "armv5" },
	"RouterOS": func(o *Options) { o.RouterOS = "7.24.2" },
	"Addresses": func(o *Options) {
		o.Addresses = []string{"10.1.2.2/24", "fd00:1:2::2/64"}
		o.Gateways = []string{"10.1.2.1", "fd00:1:2::1"}
	},
	"Gateways": func(o *Options) { o.Gateways = []string{"172.31.255.249"}; o.Addresses = []string{"172.31.255.254/29"} },
	"Bridge": func(o *Options) {
		o.Bridge, o.Addresses, o.Gateways = "bridge", []string{"192.168.88.2/24"}, []string{"192.168.88.1"}
	},
	"Subnets": func(o *Options) { o.Subnets = []string{"192.168.88.0/24", "fd00:88::/64"} },
	"RemoteSubnets": func(o *Options) {
		o.RemoteSubnets, o.Addresses, o.Gateways = []string{"192.168.89.0/24", "fd89::/64", "fd7a:115c:a1e0:b1a:0:7:c0a8:5800/120"}, append(o.Addresses, "fd00:1:2::2/64"), append(o.Gateways, "fd00:1:2::1")
	},
	"Port":          func(o *Options) { o.Port = 41641 },
	"ExitNode":      func(o *Options) { o.ExitNode = true },
	"Hostname":      func(o *Options) { o.Hostname = "home-router" },
	"LoginServer":   func(o *Options) { o.LoginServer = "https://headscale.example:8443" },
	"AuthKeyFile":   func(o *Options) { o.AuthKeyFile = true },
	"ExtraArgs":     func(o *Options) { o.ExtraArgs = "--accept-routes --advertise-tags=tag:router" },
	"Env":           func(o *Options) { o.Env = []string{"GOGC=50", "TS_LOG_VERBOSITY=1"} },
	"Memory":        func(o *Options) { o.Memory = 128 },
	"Tmpfs":         func(o *Options) { o.Tmpfs = 0 },
	"DNS":           func(o *Options) { o.DNS = []string{"9.9.9.9", "2620:fe::fe"} },
	"MagicDNS":      func(o *Options) { o.MagicDNS = []string{"tail.example", "ts.net"} },
	"WANList":       func(o *Options) { o.WANList = "" },
	"Masquerade":    func(o *Options) { o.Masquerade = true },
	"InterfaceList": func(o *Options) { o.InterfaceList = "LAN" },
	"Firewall":      func(o *Options) { o.Firewall = true },
	"ClampMSS": func(o *Options) {
		o.ClampMSS, o.Addresses, o.Gateways = true, append(o.Addresses, "fd00:1:2::2/64"), append(o.Gateways, "fd00:1:2::1")
	},
	"Registry": func(o *Options) { o.Image, o.Registry = "git.example/me/tailscale:stable", "gitea" },
	"TokenURL": func(o *Options) {
		o.Image, o.TokenURL = "registry.example/me/tailscale:stable", "https://auth.example/token"
	},
	"Username": func(o *Options) { o.Username = "robot$1" },
	"Insecure": func(o *Options) { o.Image, o.Insecure = "192.168.88.10:5000/tailscale:stable", true },
	"InPlace":  func(o *Options) { o.InPlace = true },
	"UpdateAt": func(o *Options) { o.UpdateAt = "04:30" },
}

func example() Options {
	o := Default()
	o.Image = "ghcr.io/me/tailscale:stable"
	return o
}

func TestEveryOptionHasAnExample(t *testing.T) {
	fields := reflect.TypeFor[Options]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		change, ok := examples[name]
		if !ok {
			t.Errorf("no example of %s", name)
			continue
		}
		before, after := example(), example()
		change(&after)
		if reflect.DeepEqual(reflect.ValueOf(before).Field(i).Interface(), reflect.ValueOf(after).Field(i).Interface()) {
			t.Errorf("the example of %s has the default", name)
		}
	}
}

// chosen returns the options that differ from the default, by the names of their settings.
func chosen(o Options) map[string][]string {
	usual := Default()
	before := usual.Settings()
	all := map[string][]string{}
	for i, s := range o.Settings() {
		if !slices.Equal(s.Get(), before[i].Get()) {
			all[s.Name] = s.Get()
		}
	}
	return all
}

// Other packages generate the scripts of the golden files in other ways. This file has their options.
func TestOptionsOfTheGoldenFiles(t *testing.T) {
	all := map[string]map[string][]string{"default": chosen(example())}
	for name, change := range examples {
		o := example()
		change(&o)
		all[name] = chosen(o)
	}
	for name, sites := range map[string][]string{"app/default": nil, "app/everything": nil, "app/sites": {"home=192.168.88.0/24,10.0.0.0/16", "office=192.168.89.0/24"}} {
		o := example()
		if name == "app/everything" {
			o = appOptions()
		}
		all[name] = chosen(o)
		all[name]["script"] = []string{"app"}
		if sites != nil {
			all[name]["site"] = sites
		}
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "options.json", string(text)+"\n")
}

// The default scripts are golden files. Scripts with an option are stored as the difference from the default.
func TestScriptsMatchTheGoldenFiles(t *testing.T) {
	testtools.Require(t, local.Tool{Command: "diff", Package: "diffutils"})
	dir := t.TempDir()
	standard := write(t, filepath.Join(dir, "default"), example())
	for kind, text := range standard {
		golden(t, "default/"+kind+".rsc", text)
	}
	for name, change := range examples {
		o := example()
		change(&o)
		for kind, text := range write(t, filepath.Join(dir, name), o) {
			if standard[kind] == "" {
				golden(t, name+"/"+kind+".rsc", text)
			}
		}
		cmd := exec.CommandContext(t.Context(), "diff", "-U0", "--recursive", "default", name)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err == nil {
			t.Errorf("%s changes nothing", name)
		}
		var b strings.Builder
		for line := range strings.Lines(string(out)) {
			// These lines contain times and numbers that change.
			if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "@@") && !strings.HasPrefix(line, "diff ") {
				kind, _, _ := strings.Cut(line, "\t")
				b.WriteString(strings.TrimSuffix(kind, "\n") + "\n")
			}
		}
		golden(t, name+".diff", b.String())
	}
}

// write writes the scripts into a directory, by kind.
func write(t *testing.T, dir string, o Options) map[string]string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	all := scripts(t, o)
	for kind, text := range all {
		if err := os.WriteFile(filepath.Join(dir, kind), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := routertest.Parse(text); err != nil {
			t.Errorf("%s: %v", filepath.Base(dir), err)
		}
		if strings.Contains(text, "<no value>") || strings.Contains(text, "<nil>") || strings.Contains(text, "\t") {
			t.Errorf("%s: the %s script contains a forbidden text", filepath.Base(dir), kind)
		}
	}
	return all
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is now:\n%s\nIf this is intended, run: go test ./routeros -update", path, got)
	}
}
