package recipe

import (
	"slices"
	"strings"
	"testing"
)

func TestAnImageThatCannotLogInIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		features []string
		want     string
	}{
		"a forgotten +": {[]string{"ssh", "dns", "usermetrics"}, "the features lack cli, ipnbus, unixsocketidentity, which the image's entrypoint needs: " +
			"write +ssh,+usermetrics to add to the default list, because plain names replace it, or set your own entrypoint"},
		"nothing to add":   {[]string{"dns"}, "the features lack cli, ipnbus, unixsocketidentity, which the image's entrypoint needs: keep the default list, or set"},
		"no cli":           {[]string{"-cli"}, "the features lack cli, which"},
		"no bus":           {[]string{"-ipnbus"}, "the features lack ipnbus, which"},
		"no identity":      {[]string{"-unixsocketidentity"}, "the features lack unixsocketidentity, which"},
		"one of three":     {[]string{"cli", "ssh"}, "the features lack ipnbus, unixsocketidentity, which"},
		"a malformed name": {[]string{"SSH"}, `malformed feature "SSH"`},
		"an absent one":    {[]string{"-ssh"}, `feature "ssh" is not in the default list`},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, func(x *Config) { x.Features = c.features }, c.want)
		})
	}
}

func TestACustomEntrypointNeedsNoFeatures(t *testing.T) {
	c := config(t, func(c *Config) { c.Features, c.Entrypoint = []string{"dns"}, []string{"/bin/own"} })
	if !slices.Equal(c.Features, []string{"dns"}) {
		t.Errorf("features = %v", c.Features)
	}
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"default":             {func(*Config) {}, nil},
		"no routing":          {func(c *Config) { c.Features = []string{"-osrouter"} }, []string{"the features lack osrouter: "}},
		"an unstable release": {func(c *Config) { c.TailscaleVersion = "1.103.12" }, []string{"Tailscale 1.103.12 is an unstable release: "}},
		"a stable release":    {func(c *Config) { c.TailscaleVersion = "1.114.3" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := config(t, c.change).Warnings()
			if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("warnings = %q; want %q", got, c.want)
			}
		})
	}
}
