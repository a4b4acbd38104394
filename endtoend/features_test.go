package endtoend

import (
	"path/filepath"
	"strings"
	"testing"
)

// imageWithFeatures returns an image with gVisor's network stack and with the features that the official image's variables
// need. All tests share it, because each set of features compiles most of Tailscale.
func imageWithFeatures(t testing.TB) image {
	t.Helper()
	return builtImage(t, "amd64", previousRelease, "--features=+netstack,+gro,+oauthkey,+serve,+outboundproxy,+usermetrics,+debug", "--compression=none")
}

// Variables of the official image that need a feature work in an image with that feature.
func TestVariablesOfFeatures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.control.start()
	config := filepath.Join(t.TempDir(), "serve.json")
	write(t, config, `{"TCP": {"80": {"HTTP": true}}, "Web": {"${TS_CERT_DOMAIN}:80": {"Handlers": {"/": {"Text": "served by the router"}}}}}`)
	key := w.control.key(true)
	one, two := w.site(1), w.site(2)
	first := startContainer(t, options{name: "first", image: imageWithFeatures(t), network: one.container,
		setup: "mkdir -p etc/serve && cp " + config + " etc/serve/",
		env: []string{"TS_AUTHKEY=" + key, "TS_LOGIN_SERVER=" + controlURL, "TS_SERVE_CONFIG=/etc/serve/serve.json",
			"TS_SOCKS5_SERVER=127.0.0.1:1055", "TS_OUTBOUND_HTTP_PROXY_LISTEN=127.0.0.1:1056", "TS_DEBUG_ADDR_PORT=127.0.0.1:8030",
			"TS_ENABLE_HEALTH_CHECK=yes", "TS_ENABLE_METRICS=1", "TS_LOCAL_ADDR_PORT=127.0.0.1:9002"}})
	second := w.router(imageWithFeatures(t), two, "second", "TS_AUTHKEY="+key, "TS_ENABLE_HEALTH_CHECK=true")
	first.running()
	second.running()
	address, name := first.status().Self.TailscaleIPs[0], strings.TrimSuffix(first.status().Self.DNSName, ".")

	for what, c := range map[string]struct {
		in           *container
		script, want string
	}{
		"TS_SERVE_CONFIG":                         {second, "wget -T2 -qO- --header 'Host: " + name + "' http://" + address, "served by the router"},
		"TS_ENABLE_HEALTH_CHECK":                  {first, "wget -T2 -qO- http://127.0.0.1:9002/healthz && echo healthy", "healthy"},
		"TS_ENABLE_METRICS":                       {first, "wget -T2 -qO- http://127.0.0.1:9002/metrics", "tailscaled_inbound_packets_total"},
		"TS_DEBUG_ADDR_PORT":                      {first, "wget -T2 -qO- http://127.0.0.1:8030/debug/pprof/", "goroutine"},
		"TS_OUTBOUND_HTTP_PROXY_LISTEN":           {first, "http_proxy=http://127.0.0.1:1056 wget -T2 -qO- http://" + websiteAddress, "you are " + one.wan4},
		"TS_SOCKS5_SERVER":                        {first, `printf '\005\001\000' | nc -w 2 127.0.0.1 1055 | wc -c`, "2"},
		"the health check on its default address": {second, "wget -T2 -qO- 'http://[::1]:9002/healthz' && echo healthy", "healthy"},
	} {
		answer := ""
		eventually(t, what, func() bool {
			answer, _ = c.in.sh(c.script)
			return strings.Contains(answer, c.want)
		})
	}
	first.stop()
}
