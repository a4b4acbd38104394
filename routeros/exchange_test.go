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
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dagger/mikrotik-tailscale/archive"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/publish"
	"dagger/mikrotik-tailscale/testregistry"
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
			"codeberg.org", "registry.example", "gitlab.example"},
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

// token lets its bearer do with a repository what the actions say.
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

// tokenServer gives tokens to push to the robot, and to pull to everybody, if public.
type tokenServer struct {
	authority authority
	public    bool
	// field is the name of the token in the answer: token, or access_token as OAuth has it.
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
	if len(scope) != 3 || scope[0] != "repository" || r.URL.Query().Get("service") == "" {
		http.Error(w, "no scope", http.StatusBadRequest)
		return
	}
	actions := []string{"pull"}
	if known {
		actions = strings.Split(scope[2], ",")
	}
	_ = json.NewEncoder(w).Encode(map[string]any{s.field: s.authority.token(scope[1], actions)})
}

// site is a registry with all platforms' images under me/tailscale:stable, and each under its own
// tag, which lets people in by tokens. It answers for every host there is a certificate for.
type site struct {
	tokens  *tokenServer
	roots   *x509.CertPool
	address string // of the registry itself
	front   string // of the server that speaks TLS for all hosts
	asked   []string
	// transport leads other clients there.
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
		case "ghcr.io/token", "auth.docker.io/token", "gitlab.com/jwt/auth", "gitlab.example/jwt/auth", "codeberg.org/v2/token":
			s.tokens.ServeHTTP(w, r)
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
	push(t, s.address, authn.FromConfig(authn.AuthConfig{Username: robot, Password: password}), s.transport)
	return s
}

// dial leads to the site for all names.
func (s *site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, _ := net.SplitHostPort(address); net.ParseIP(host) == nil {
		address = s.front
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// router is one for which all names lead to the site.
func (s *site) router() *router {
	r := newRouter(24)
	r.roots, r.dial = s.roots, s.dial
	return r
}

// push publishes small images of all platforms, as this project publishes its own.
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
		img, err := archive.Image(layer, target, archive.Config{Entrypoint: []string{"/which"}})
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

// digest is what another client, which finds the way by itself, says about a platform's image.
func digest(t *testing.T, registry string, who authn.Authenticator, rt http.RoundTripper, target platform.Target) string {
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
	for _, m := range manifest.Manifests {
		if m.Platform.Architecture == target.Architecture && m.Platform.Variant == target.Variant {
			return m.Digest.String()
		}
	}
	t.Fatalf("no image for %s", target)
	return ""
}

// installed runs the scripts and gives the identity that the router then knows its image by.
func installed(t *testing.T, r *router, o Options) (string, error) {
	t.Helper()
	s := scripts(t, o)
	if err := run(t, r, s["install"]); err != nil {
		return "", err
	}
	r.changes = 0
	must(t, r, s["update"])
	if r.changes > 0 {
		t.Error("an update follows the installation")
	}
	return strings.TrimPrefix(r.tables["/container"][0].values["comment"].(string), "mikrotik-tailscale:tailscale "), nil
}

// The requests are those of the scripts, at the addresses of the scripts, and the registry is the
// one that most of these run, though not their own.
func TestRegistriesWithTokens(t *testing.T) {
	s := newSite(t)
	t.Run("digests", s.testDigests)
	t.Run("refusals", s.testRefusals)
}

func (s *site) testDigests(t *testing.T) {
	want := digest(t, s.address, authn.Anonymous, s.transport, mustTarget(t))
	for image, c := range map[string]struct {
		change func(*Options)
		asked  string
	}{
		"ghcr.io/me/tailscale:stable":             {nil, "https://ghcr.io/token https://ghcr.io/v2/me/tailscale/manifests/stable"},
		"docker.io/me/tailscale:stable":           {nil, "https://auth.docker.io/token https://registry-1.docker.io/v2/me/tailscale/manifests/stable"},
		"registry.gitlab.com/me/tailscale:stable": {nil, "https://gitlab.com/jwt/auth https://registry.gitlab.com/v2/me/tailscale/manifests/stable"},
		"codeberg.org/me/tailscale:stable":        {nil, "https://codeberg.org/v2/token https://codeberg.org/v2/me/tailscale/manifests/stable"},
		"registry.example/me/tailscale:stable":    {func(o *Options) { o.TokenURL = "https://gitlab.example/jwt/auth?service=container_registry" }, "https://gitlab.example/jwt/auth https://registry.example/v2/me/tailscale/manifests/stable"},
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
						r.singles["/container/config"]["username"], r.singles["/container/config"]["password"] = robot, password
					}
					got, err := installed(t, r, o)
					if err != nil || got != want {
						t.Errorf("digest = %s (%v); want %s", got, err, want)
					}
					if asked := strings.Join(s.asked, " "); asked != c.asked+" "+c.asked {
						t.Errorf("asked: %s; want %s, twice", asked, c.asked)
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
				r.singles["/system/resource"]["architecture-name"] = target.RouterOS
				r.singles["/container/config"]["username"], r.singles["/container/config"]["password"] = c.user, secret
				want := digest(t, registry, c.who, http.DefaultTransport, target)
				if got, err := installed(t, r, o); err != nil || got != want {
					t.Errorf("%s: digest = %s (%v); want %s", target, got, err, want)
				}
				// The tag of one platform is no index, but the image itself.
				o.Image += "-" + target.Name
				r = newRouter(21)
				r.singles["/system/resource"]["architecture-name"] = target.RouterOS
				r.singles["/container/config"]["username"], r.singles["/container/config"]["password"] = c.user, secret
				if got, err := installed(t, r, o); err != nil || got == want || !strings.HasPrefix(got, "sha256:") {
					t.Errorf("%s: digest = %s (%v)", o.Image, got, err)
				}
			}
		})
	}
}

// Where no platform is given, the router's architecture chooses the image.
func architectureChooses(t *testing.T, registry string) {
	for architecture, arch := range map[string]string{"x86": "amd64", "x86_64": "amd64", "arm64": "arm64", "arm": "arm"} {
		target, err := platform.Parse(arch)
		if err != nil {
			t.Fatal(err)
		}
		o := Default()
		o.Image, o.Insecure = registry+"/me/tailscale:stable", true
		r := newRouter(24)
		r.singles["/system/resource"]["architecture-name"] = architecture
		want := digest(t, registry, authn.Anonymous, http.DefaultTransport, target)
		if got, err := installed(t, r, o); err != nil || got != want {
			t.Errorf("%s: digest = %s (%v); want %s", architecture, got, err, want)
		}
		o.Arch = "armv5"
		if _, err := installed(t, newRouter(24), o); err == nil || !strings.Contains(err.Error(), "the image is for arm, and this router is arm64") {
			t.Errorf("error = %v", err)
		}
	}
}

func (s *site) testRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*router, *Options)
		want  string
	}{
		"nobody knows the host":  {func(r *router, o *Options) { o.Image = "other.example/me/tailscale:stable" }, "certificate"},
		"no certificate is good": {func(r *router, _ *Options) { r.roots = x509.NewCertPool() }, "certificate"},
		"no such tag":            {func(_ *router, o *Options) { o.Image = "ghcr.io/me/tailscale:other" }, "Status 404"},
		"it wants a token":       {func(_ *router, o *Options) { o.Registry = RegistryPlain }, "Status 401"},
		"the password is wrong": {func(r *router, o *Options) {
			o.Username = robot
			r.singles["/container/config"]["username"], r.singles["/container/config"]["password"] = robot, "gu3ssed"
		}, "Status 401"},
		"there is no password": {func(_ *router, o *Options) { o.Username = robot }, `/container/config/set username=` + robot},
	} {
		t.Run(name, func(t *testing.T) {
			o := Default()
			o.Image = "ghcr.io/me/tailscale:stable"
			r := s.router()
			s.tokens.public = true
			c.spoil(r, &o)
			before := r.snapshot()
			_, err := installed(t, r, o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "gu3ssed") {
				t.Errorf("error = %v; want it to say %q", err, c.want)
			}
			if r.snapshot() != before {
				t.Error("the router was changed")
			}
		})
	}
}
