package recipe

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dagger/mikrotik-tailscale/platform"
)

func imageOf(t *testing.T, change func(*Config)) (image struct {
	Entrypoint, Cmd, Env []string
	WorkingDir           string
	Volumes              map[string]struct{}
	Labels               map[string]string
	Healthcheck          *struct {
		Test                           []string
		Interval, Timeout, StartPeriod time.Duration
		Retries                        int
	}
}) {
	t.Helper()
	config := Plan{Target: platform.All()[0], Config: config(t, change), Resolved: Resolved{Features: []string{"cli", "dns"}}}.ImageConfig()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &image); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestWhatAContainerStarts(t *testing.T) {
	i := imageOf(t, nil)
	if !slices.Equal(i.Entrypoint, []string{"/usr/local/bin/entrypoint"}) || !slices.Equal(i.Cmd, []string{"tailscaled"}) || i.WorkingDir != "/" {
		t.Errorf("a container starts %q %q in %s", i.Entrypoint, i.Cmd, i.WorkingDir)
	}
	if _, ok := i.Volumes["/var/lib/tailscale"]; !ok || len(i.Volumes) != 1 {
		t.Errorf("volumes: %v", i.Volumes)
	}
	h := i.Healthcheck
	if h == nil || !slices.Equal(h.Test, []string{"CMD", "/usr/local/bin/healthcheck"}) || h.Interval != time.Minute ||
		h.Timeout != 30*time.Second || h.StartPeriod != time.Minute || h.Retries != 3 {
		t.Errorf("health check: %+v", h)
	}

	own := imageOf(t, func(c *Config) { c.Entrypoint = []string{"/own", "-x"} })
	if !slices.Equal(own.Entrypoint, []string{"/own", "-x"}) || own.Cmd != nil || own.Healthcheck != nil || len(own.Volumes) != 1 {
		t.Errorf("with an entrypoint of one's own, a container starts %q %q, checked by %v", own.Entrypoint, own.Cmd, own.Healthcheck)
	}
}

// Without GOTRACEBACK, a crash of a stripped program can't be symbolized.
func TestTheEnvironmentOfContainers(t *testing.T) {
	const path = "PATH=/usr/local/bin:/bin"
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"default":      {nil, []string{path, "GOTRACEBACK=system"}},
		"symbols":      {func(c *Config) { c.KeepSymbols = true }, []string{path}},
		"certificates": {func(c *Config) { c.Certificates = CertificatesFile }, []string{path, "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "GOTRACEBACK=system"}},
	} {
		if got := imageOf(t, c.change).Env; !slices.Equal(got, c.want) {
			t.Errorf("%s: the environment is %q; want %q", name, got, c.want)
		}
	}
}

func TestLabels(t *testing.T) {
	own := map[string]string{
		"org.opencontainers.image.title":        "mikrotik-tailscale",
		"org.opencontainers.image.description":  "Tailscale " + TailscaleVersion + " for MikroTik routers",
		"org.opencontainers.image.source":       "https://github.com/tailscale/tailscale",
		"org.opencontainers.image.version":      TailscaleVersion + "-mt.1",
		"org.opencontainers.image.licenses":     "BSD-3-Clause AND GPL-2.0-only AND MIT AND MPL-2.0",
		"mikrotik-tailscale.tailscale.version":  TailscaleVersion,
		"mikrotik-tailscale.tailscale.features": "cli,dns",
		"mikrotik-tailscale.busybox.version":    BusyboxVersion,
		"mikrotik-tailscale.compression":        "launcher",
	}
	if got := imageOf(t, nil).Labels; !maps.Equal(got, own) {
		t.Errorf("labels: %v; want %v", got, own)
	}
	given := map[string]string{"org.opencontainers.image.title": "mine", "further": "label"}
	got := imageOf(t, func(c *Config) { c.Labels = given }).Labels
	maps.Copy(own, given)
	if !maps.Equal(got, own) {
		t.Errorf("with labels of one's own: %v; want %v", got, own)
	}
}

func TestParseLabels(t *testing.T) {
	got, err := ParseLabels([]string{"a=1", "b=x=y", "c="})
	if want := map[string]string{"a": "1", "b": "x=y", "c": ""}; err != nil || !maps.Equal(got, want) {
		t.Errorf("labels = %v, %v; want %v", got, err, want)
	}
	for _, given := range [][]string{{"a"}, {"=1"}, {"a=1", "a=2"}, {""}} {
		if _, err := ParseLabels(given); err == nil || !strings.Contains(err.Error(), `label "`+given[len(given)-1]+`"`) {
			t.Errorf("ParseLabels(%q): error = %v", given, err)
		}
	}
}

func TestChoicesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"revision 0":                {func(c *Config) { c.Revision = 0 }, "revision"},
		"a mixed list":              {func(c *Config) { c.Features = []string{"+ssh", "dns"} }, "+ssh,dns"},
		"a mixed list, names first": {func(c *Config) { c.Features = []string{"dns", "-ssh"} }, "dns,-ssh"},
		"no name":                   {func(c *Config) { c.Features = []string{"+"} }, `"+"`},
		"not in the list":           {func(c *Config) { c.Features = []string{"-ssh"} }, `"ssh"`},
		"a feature's form":          {func(c *Config) { c.Features = []string{"+SSH"} }, `"SSH"`},
		"compression":               {func(c *Config) { c.Compression = "zip" }, `"zip"`},
		"certificates":              {func(c *Config) { c.Certificates = "none" }, `"none"`},
		"entrypoint":                {func(c *Config) { c.Entrypoint = []string{"own"} }, `"own"`},
		"tag":                       {func(c *Config) { c.Tag = "A B" }, `"A B"`},
		"busybox without a sum":     {func(c *Config) { c.BusyboxVersion = "1.1.1" }, "1.1.1"},
		"a short sum":               {func(c *Config) { c.BusyboxChecksum = "sha256:abc" }, `"abc"`},
		"no Tailscale":              {func(c *Config) { c.TailscaleVersion = "" }, "no Tailscale version"},
	} {
		t.Run(name, func(t *testing.T) { wantProblem(t, c.change, c.want) })
	}
	for name, change := range map[string]func(*Config){
		"revision 2":        func(c *Config) { c.Revision = 2 },
		"a sum with prefix": func(c *Config) { c.BusyboxChecksum = "SHA256:" + strings.Repeat("A", 64) },
		"another tag":       func(c *Config) { c.Tag = "registry.example/me/image:1" },
	} {
		t.Run(name, func(t *testing.T) { wantProblem(t, change, "") })
	}
}
