package routeros

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/image/archive"
	"dagger/mikrotik-tailscale/image/publish"
	"dagger/mikrotik-tailscale/platform"
)

const (
	robot    = "robot$1"
	password = `s3cret&"word\`
	service  = "registry.test"
)

// authority signs the certificates of servers and the tokens for the registry.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"ghcr.io", "auth.docker.io", "registry-1.docker.io", "gitlab.com", "registry.gitlab.com",
			"codeberg.org", "registry.example", "gitlab.example", "hub.docker.com", "quay.io"},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{key, certificate}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// token returns a token with which a client can do the actions in a repository.
func (a authority) token(repository string, actions []string) string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now().Unix()
	signed := part(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(a.certificate.Raw)}}) + "." +
		part(map[string]any{
			"iss": "test", "sub": "", "aud": service, "iat": now, "nbf": now - 60, "exp": now + 300, "jti": "1",
			"access": []any{map[string]any{"type": "repository", "name": repository, "actions": actions}},
		})
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, a.key, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// tokenServer returns tokens to push to the robot, and tokens to pull to everyone if it is public.
type tokenServer struct {
	authority authority
	public    bool
	// field is the name of the token in the answer: token, or access_token as in OAuth.
	field string
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, secret, given := r.BasicAuth()
	known := user == robot && secret == password
	if (given && !known) || (!given && !s.public) {
		http.Error(w, `{"details":"incorrect username or password"}`, http.StatusUnauthorized)
		return
	}
	scope := strings.Split(r.URL.Query().Get("scope"), ":")
	if len(scope) != 3 || scope[0] != "repository" {
		http.Error(w, "no scope", http.StatusBadRequest)
		return
	}
	actions := []string{"pull"}
	if known {
		actions = strings.Split(scope[2], ",")
	}
	_ = json.NewEncoder(w).Encode(map[string]any{s.field: s.authority.token(scope[1], actions)})
}

// site is a registry that requires tokens. It has all platforms' images under me/tailscale:stable, and each image
// under its own tag. It answers for every host in its certificate.
type site struct {
	tokens  *tokenServer
	roots   *x509.CertPool
	address string // of the registry itself
	index   *v1.IndexManifest
	front   string // of the server that speaks TLS for all hosts
	asked   []string
	// transport connects other clients to the site.
	transport http.RoundTripper
}

func newSite(t *testing.T) *site {
	t.Helper()
	a := newAuthority(t)
	s := &site{tokens: &tokenServer{authority: a, public: true, field: "token"}, roots: x509.NewCertPool()}
	s.roots.AddCert(a.certificate)
	s.address = testregistry.StartWithTokens(t, "https://ghcr.io/token", service, "test", a.pem())
	target, err := url.Parse("http://" + s.address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, "https://"+r.Host+r.URL.Path)
		switch r.Host + r.URL.Path {
		case "ghcr.io/token", "codeberg.org/v2/token", "registry.example/token":
			s.tokens.ServeHTTP(w, r)
		case "gitlab.com/jwt/auth", "gitlab.example/jwt/auth":
			s.gitlab(w, r)
		case "hub.docker.com/v2/auth/token":
			s.hubLogin(w, r)
		case "hub.docker.com/v2/repositories/me/tailscale/tags/stable":
			s.hubTag(w, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that refuses the certificate is no news
	front.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{a.certificate.Raw}, PrivateKey: a.key}}}
	front.StartTLS()
	t.Cleanup(front.Close)
	s.front = front.Listener.Addr().String()

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.DialContext = nil, s.dial
	transport.TLSClientConfig = &tls.Config{RootCAs: s.roots}
	s.transport = transport
	t.Cleanup(transport.CloseIdleConnections)
	who := authn.FromConfig(authn.AuthConfig{Username: robot, Password: password})
	push(t, s.address, who, s.transport)
	s.index = indexOf(t, s.address, who, s.transport)
	return s
}

// gitlab returns tokens like GitLab: it requires a service, and answers POST requests with 404 unless a header turns
// them into GET requests with more parameters.
func (s *site) gitlab(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.Header.Get("X-HTTP-Method-Override") != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	if r.FormValue("service") != "container_registry" {
		http.NotFound(w, r)
		return
	}
	s.tokens.ServeHTTP(w, r)
}

// hubLogin returns tokens for Docker Hub's API.
func (s *site) hubLogin(w http.ResponseWriter, r *http.Request) {
	var who struct{ Identifier, Secret string }
	if err := json.NewDecoder(r.Body).Decode(&who); err != nil || r.Method != http.MethodPost || who.Identifier != robot || who.Secret != password {
		http.Error(w, `{"detail":"Incorrect authentication credentials"}`, http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "hub"})
}

// hubTag answers like Docker Hub's API for a tag.
func (s *site) hubTag(w http.ResponseWriter, r *http.Request) {
	if bearer := r.Header.Get("Authorization"); bearer != "Bearer hub" && (bearer != "" || !s.tokens.public) {
		http.NotFound(w, r)
		return
	}
	images := []any{map[string]any{"architecture": "unknown", "os": "unknown", "variant": nil, "digest": "sha256:" + strings.Repeat("0", 64)}}
	for _, m := range s.index.Manifests {
		image := map[string]any{"architecture": m.Platform.Architecture, "os": "linux", "variant": nil, "digest": m.Digest.String(), "size": 1}
		if m.Platform.Variant != "" {
			image["variant"] = m.Platform.Variant
		}
		images = append(images, image)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "stable", "images": images})
}

// dial connects to the site for all names.
func (s *site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, _ := net.SplitHostPort(address); net.ParseIP(host) == nil {
		address = s.front
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// router returns a router for which all names resolve to the site.
func (s *site) router() *router {
	r := newRouter(24)
	r.Roots, r.Dial = s.roots, s.dial
	return r
}

// push publishes small images of all platforms in the same way as this project.
func push(t *testing.T, registry string, who authn.Authenticator, rt http.RoundTripper) {
	t.Helper()
	config, err := who.Authorization()
	if err != nil {
		t.Fatal(err)
	}
	d, err := publish.NewDestination(registry+"/me/tailscale:stable", "1", nil, config.Username, config.Password, true)
	if err != nil {
		t.Fatal(err)
	}
	var images []publish.Image
	for _, target := range platform.All() {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/which", []byte(target.Name), 0o600); err != nil {
			t.Fatal(err)
		}
		layer, err := archive.Layer(dir, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		img, err := archive.Image(layer, target, v1.Config{Entrypoint: []string{"/which"}}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, publish.Image{Target: target, Image: img})
	}
	release, err := publish.NewRelease(images, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publish.Push(t.Context(), d, release, rt); err != nil {
		t.Fatal(err)
	}
}

// indexOf returns the index of the published images.
func indexOf(t *testing.T, registry string, who authn.Authenticator, rt http.RoundTripper) *v1.IndexManifest {
	t.Helper()
	tag, err := name.NewTag(registry+"/me/tailscale:stable", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag, remote.WithAuth(who), remote.WithTransport(rt))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return manifest
}

// digest returns the digest of a platform's image, as found by another client that discovers the token server itself.
func digest(t *testing.T, registry string, who authn.Authenticator, rt http.RoundTripper, target platform.Target) string {
	t.Helper()
	for _, m := range indexOf(t, registry, who, rt).Manifests {
		if m.Platform.Architecture == target.Architecture && m.Platform.Variant == target.Variant {
			return m.Digest.String()
		}
	}
	t.Fatalf("no image for %s", target)
	return ""
}

// installed runs the scripts and returns the identity by which the router then knows its image.
func installed(t *testing.T, r *router, o Options) (string, error) {
	t.Helper()
	s := scripts(t, o)
	if err := run(t, r, s["install"]); err != nil {
		return "", err
	}
	r.Changes = 0
	must(t, r, s["update"])
	if r.Changes > 0 {
		t.Error("an update follows the installation")
	}
	return strings.TrimPrefix(r.Tables["/container"][0].Values["comment"].(string), "mikrotik-tailscale:tailscale "), nil
}

// The scripts send their own requests to their own addresses. The registry is the common open source one, not each
// company's own.
func TestRegistriesWithTokens(t *testing.T) {
	s := newSite(t)
	t.Run("digests", s.testDigests)
	t.Run("refusals", s.testRefusals)
	t.Run("trust", s.testTrust)
}

func (s *site) testDigests(t *testing.T) {
	want := digest(t, s.address, authn.Anonymous, s.transport, mustTarget(t))
	for image, c := range map[string]struct {
		change func(*Options)
		asked  string
	}{
		"ghcr.io/me/tailscale:stable":              {nil, "https://ghcr.io/token https://ghcr.io/v2/me/tailscale/manifests/stable"},
		"docker.io/me/tailscale:stable":            {nil, "https://hub.docker.com/v2/repositories/me/tailscale/tags/stable"},
		"registry.gitlab.com/me/tailscale:stable":  {nil, "https://gitlab.com/jwt/auth https://registry.gitlab.com/v2/me/tailscale/manifests/stable"},
		"codeberg.org/me/tailscale:stable":         {nil, "https://codeberg.org/v2/token https://codeberg.org/v2/me/tailscale/manifests/stable"},
		"registry.example/me/tailscale:stable":     {func(o *Options) { o.Registry, o.TokenURL = "gitlab", "https://gitlab.example/jwt/auth" }, "https://gitlab.example/jwt/auth https://registry.example/v2/me/tailscale/manifests/stable"},
		"registry.example:443/me/tailscale:stable": {func(o *Options) { o.TokenURL = "https://registry.example/token" }, "https://registry.example/token https://registry.example:443/v2/me/tailscale/manifests/stable"},
	} {
		for _, field := range []string{"token", "access_token"} {
			for _, private := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s %v", image, field, private), func(t *testing.T) {
					o := Default()
					o.Image = image
					if c.change != nil {
						c.change(&o)
					}
					r := s.router()
					s.tokens.field, s.tokens.public, s.asked = field, !private, nil
					if private {
						o.Username = robot
						r.Singles["/container/config"]["username"], r.Singles["/container/config"]["password"] = robot, password
					}
					got, err := installed(t, r, o)
					if err != nil || got != want {
						t.Errorf("digest = %s (%v); want %s", got, err, want)
					}
					want := c.asked
					if private && strings.HasPrefix(image, "docker.io") {
						want = "https://hub.docker.com/v2/auth/token " + want
					}
					if asked := strings.Join(s.asked, " "); asked != want+" "+want {
						t.Errorf("asked: %s; want %s, twice", asked, want)
					}
				})
			}
		}
	}
}

func TestDigestsOfPlainRegistries(t *testing.T) {
	who := authn.FromConfig(authn.AuthConfig{Username: robot, Password: password})
	for name, c := range map[string]struct {
		user string
		who  authn.Authenticator
	}{"anonymous": {"", authn.Anonymous}, "basic": {robot, who}} {
		t.Run(name, func(t *testing.T) {
			secret := ""
			if c.user != "" {
				secret = password
			}
			registry := testregistry.Start(t, c.user, secret, false)
			push(t, registry, c.who, nil)
			if c.user == "" {
				t.Run("architecture", func(t *testing.T) { architectureChooses(t, registry) })
			}
			for _, target := range platform.All() {
				o := Default()
				o.Image, o.Insecure, o.Username, o.Arch = registry+"/me/tailscale:stable", true, c.user, target.Name
				r := newRouter(21)
				r.Singles["/system/resource"]["architecture-name"] = target.RouterOS
				r.Singles["/container/config"]["username"], r.Singles["/container/config"]["password"] = c.user, secret
				want := digest(t, registry, c.who, http.DefaultTransport, target)
				if got, err := installed(t, r, o); err != nil || got != want {
					t.Errorf("%s: digest = %s (%v); want %s", target, got, err, want)
				}
				// The tag of a single platform is the image itself, not an index.
				o.Image += "-" + target.Name
				r = newRouter(21)
				r.Singles["/system/resource"]["architecture-name"] = target.RouterOS
				r.Singles["/container/config"]["username"], r.Singles["/container/config"]["password"] = c.user, secret
				if got, err := installed(t, r, o); err != nil || got == want || !strings.HasPrefix(got, "sha256:") {
					t.Errorf("%s: digest = %s (%v)", o.Image, got, err)
				}
			}
		})
	}
}

// Without a platform, the router's architecture selects the image.
func architectureChooses(t *testing.T, registry string) {
	for architecture, arch := range map[string]string{"x86": "amd64", "x86_64": "amd64", "arm64": "arm64", "arm": "arm"} {
		target, err := platform.Parse(arch)
		if err != nil {
			t.Fatal(err)
		}
		o := Default()
		o.Image, o.Insecure = registry+"/me/tailscale:stable", true
		r := newRouter(24)
		r.Singles["/system/resource"]["architecture-name"] = architecture
		want := digest(t, registry, authn.Anonymous, http.DefaultTransport, target)
		if got, err := installed(t, r, o); err != nil || got != want {
			t.Errorf("%s: digest = %s (%v); want %s", architecture, got, err, want)
		}
		o.Arch = "armv5"
		if _, err := installed(t, newRouter(24), o); err == nil || !strings.Contains(err.Error(), "the image is for arm, but this router is arm64") {
			t.Errorf("error = %v", err)
		}
	}
}

// RouterOS is reported not to fetch addresses with a second parameter.
func TestNoAddressHasASecondParameter(t *testing.T) {
	for _, registry := range Registries() {
		for _, host := range []string{"docker.io", "ghcr.io", "registry.gitlab.com", "codeberg.org", "quay.io", "registry.example"} {
			for _, tokenURL := range []string{"", "https://auth.example/token", "https://auth.example/token?", "https://auth.example/token?scope=repository:me/x:pull"} {
				o := Default()
				o.Image, o.Registry, o.TokenURL = host+"/me/tailscale:stable", registry, tokenURL
				all, err := New(o)
				if err != nil {
					if registry == RegistryAuto && tokenURL == "" {
						t.Errorf("%s: %v", host, err)
					}
					continue // TestWrongOptionsAreTold has these
				}
				for _, s := range all {
					for line := range strings.Lines(s.Text) {
						if strings.Contains(line, "/tool/fetch") && strings.Contains(line, "&") {
							t.Errorf("%s with %s and %q: %s", host, registry, tokenURL, line)
						}
					}
				}
			}
		}
	}
}

func (s *site) testRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*router, *Options)
		want  string
	}{
		"nobody knows the host":  {func(r *router, o *Options) { o.Image = "other.example/me/tailscale:stable" }, "certificate"},
		"no certificate is good": {func(r *router, _ *Options) { r.Roots = x509.NewCertPool() }, "certificate"},
		"no such tag on the hub": {func(_ *router, o *Options) { o.Image = "docker.io/me/tailscale:other" }, "Status 404"},
		"the hub's password is wrong": {func(r *router, o *Options) {
			o.Image, o.Username = "docker.io/me/tailscale:stable", robot
			r.Singles["/container/config"]["username"], r.Singles["/container/config"]["password"] = robot, "gu3ssed"
		}, "Status 401"},
		"no such tag":      {func(_ *router, o *Options) { o.Image = "ghcr.io/me/tailscale:other" }, "Status 404"},
		"it wants a token": {func(_ *router, o *Options) { o.Registry = RegistryPlain }, "Status 401"},
		"the password is wrong": {func(r *router, o *Options) {
			o.Username = robot
			r.Singles["/container/config"]["username"], r.Singles["/container/config"]["password"] = robot, "gu3ssed"
		}, "Status 401"},
		"there is no password": {func(_ *router, o *Options) { o.Username = robot }, `/container/config/set username=` + robot},
	} {
		t.Run(name, func(t *testing.T) {
			o := Default()
			o.Image = "ghcr.io/me/tailscale:stable"
			r := s.router()
			s.tokens.public = true
			c.spoil(r, &o)
			before := r.Snapshot()
			_, err := installed(t, r, o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "gu3ssed") {
				t.Errorf("error = %v; want it to contain %q", err, c.want)
			}
			if r.Snapshot() != before {
				t.Error("the router was changed")
			}
		})
	}
}

// Routers that were set up before RouterOS 7.19 trust no certificate authority. The command in the error is
// sufficient to fix that.
func (s *site) testTrust(t *testing.T) {
	s.tokens.public = true
	o := example()
	for name, c := range map[string]struct {
		store []any
		want  string
	}{
		"empty":            {nil, "builtin-trust-store=fetch,container"},
		"untrusted":        {[]any{"untrusted"}, "builtin-trust-store=fetch,container"},
		"other services":   {[]any{"dns", "container"}, "builtin-trust-store=dns,container,fetch"},
		"all but a pull":   {[]any{"fetch", "dns"}, "builtin-trust-store=fetch,dns,container"},
		"similar services": {[]any{"prefetch", "containers"}, "builtin-trust-store=prefetch,containers,fetch,container"},
		"the default":      {[]any{"default"}, ""},
		"all":              {[]any{"all"}, ""},
		"just enough":      {[]any{"container", "fetch"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.router()
			r.Singles["/certificate/settings"]["builtin-trust-store"] = c.store
			before := r.Snapshot()
			err := run(t, r, scripts(t, o)["install"])
			if c.want == "" {
				if err != nil {
					t.Errorf("error = %v", err)
				}
				return
			}
			if err == nil || !strings.HasSuffix(err.Error(), "/certificate/settings/set "+c.want+"; nothing was changed") {
				t.Fatalf("error = %v; want it to end with %s", err, c.want)
			}
			if r.Snapshot() != before {
				t.Error("the router was changed")
			}
			var store []any
			_, list, _ := strings.Cut(c.want, "=")
			for service := range strings.SplitSeq(list, ",") {
				store = append(store, service)
			}
			r.Singles["/certificate/settings"]["builtin-trust-store"] = store
			must(t, r, scripts(t, o)["install"])

			// The same error before an update.
			r.Singles["/certificate/settings"]["builtin-trust-store"] = c.store
			err = run(t, r, scripts(t, o)["update"])
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(r.Log[len(r.Log)-1], c.want) {
				t.Errorf("error = %v, log %q; want both to contain %s", err, r.Log, c.want)
			}
		})
	}
	t.Run("imported authorities", func(t *testing.T) {
		r := s.router()
		r.Singles["/certificate/settings"]["builtin-trust-store"] = []any{}
		r.Put("/certificate", "name", "root").Flags["trusted"] = true
		must(t, r, scripts(t, o)["install"])
		// None of them is the registry's.
		r = s.router()
		r.Roots = nil
		r.Singles["/certificate/settings"]["builtin-trust-store"] = []any{}
		r.Put("/certificate", "name", "root").Flags["trusted"] = true
		if err := run(t, r, scripts(t, o)["install"]); err == nil || !strings.Contains(err.Error(), "builtin-trust-store=fetch,container") {
			t.Errorf("error = %v; want it to contain the command that helps", err)
		}
	})
	t.Run("nothing to check", func(t *testing.T) {
		o := newShop(t).options()
		r := newRouter(24)
		r.Singles["/certificate/settings"]["builtin-trust-store"] = []any{}
		must(t, r, scripts(t, o)["install"])
		must(t, r, scripts(t, o)["update"])
	})
}
