package routeros

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"dagger/mikrotik-tailscale/recipe/address"
)

// The authentication methods of registries.
const (
	// RegistryAuto chooses the method by the registry's host. Unknown registries are plain.
	RegistryAuto = "auto"
	// RegistryPlain sends a user name and password with each request, or neither.
	RegistryPlain = "plain"
)

// tokens has the token request of each kind of registry. A router can't find it out like other clients do: the
// address is in a header of a refused request, which scripts can't read on older releases. HOST is replaced with the
// registry's host.
//
// No address may have a second parameter, because /tool/fetch is reported to fail on an "&", even in quotes (RouterOS
// 7.21.2). GHCR and Gitea need no service besides the scope. GitLab does, and reads it from the body of a request
// that it treats as a GET.
var tokens = map[string]request{
	"dockerhub": {},
	"ghcr":      {URL: "https://ghcr.io/token"},
	"gitlab": {
		URL:     "https://gitlab.com/jwt/auth",
		Headers: "Content-Type: application/x-www-form-urlencoded,X-HTTP-Method-Override: GET",
		Data:    "service=container_registry",
	},
	"gitea": {URL: "SCHEME://HOST/v2/token"},
}

// request is a request that a script sends with /tool/fetch.
type request struct {
	URL     string
	Headers string
	// Data makes it a POST request, unless it is empty.
	Data string
}

// kinds are the hosts with a known kind.
var kinds = map[string]string{
	name.DefaultRegistry:  "dockerhub",
	"ghcr.io":             "ghcr",
	"registry.gitlab.com": "gitlab",
	"codeberg.org":        "gitea",
	"gitea.com":           "gitea",
}

// Registries returns the accepted values of Options.Registry.
func Registries() []string {
	return append([]string{RegistryAuto, RegistryPlain}, slices.Sorted(maps.Keys(tokens))...)
}

// exchange has the requests with which the router asks a registry for the digest of an image.
type exchange struct {
	// Reference is the image, in the form for the router's own client.
	Reference string
	// Token is the request for a token. Without an address, no token is needed.
	Token request
	// Manifest is the address of the manifest or, on Docker Hub, of the tag in its API.
	Manifest string
	// Hub is true for Docker Hub's API, which is used because its token server needs two parameters.
	Hub bool
	// Accept are the accepted media types of manifests.
	Accept []string
}

// accepted are the media types of manifests for several platforms and for one, by OCI and by Docker. Our own is the
// last one, in case a router only sends the last of several headers with the same name.
var accepted = []string{
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
}

func newExchange(o Options) (exchange, error) {
	var p problems
	e := exchange{Accept: accepted}
	host, _, _ := strings.Cut(o.Image, "/")
	tag, err := name.NewTag(o.Image, name.StrictValidation)
	if err != nil || !strings.ContainsAny(host, ".:") || strings.Contains(o.Image, "@") {
		return e, fmt.Errorf("malformed image %q: want host, repository and tag, such as ghcr.io/me/tailscale:stable", address.Redact(o.Image))
	}
	repository := tag.Context().RepositoryStr()
	e.Reference = o.Image
	scheme, server := "https", tag.RegistryStr()
	if o.Insecure {
		scheme = "http"
	}
	kind := o.Registry
	if kind == RegistryAuto {
		kind = kinds[server]
	}
	if kind == "" {
		kind = RegistryPlain
	}
	token, ok := tokens[kind]
	switch {
	case !ok && kind != RegistryPlain:
		p.add("registry", "unknown registry %q: want one of %s", o.Registry, strings.Join(Registries(), ", "))
	case kind == "dockerhub" && server != name.DefaultRegistry:
		p.add("registry", "registry %q only works with images on docker.io, and the image is %q: want %s", kind, o.Image, RegistryPlain)
	case kind == "dockerhub" && o.TokenURL != "":
		p.add("token-url", "the token address %q is not used for docker.io: want none", o.TokenURL)
	case server == "quay.io" && o.Username != "":
		p.add("username", "private images on quay.io need two parameters in a token address, and RouterOS can't fetch an address with \"&\": make the repository public, or use a tarball or another registry")
	}
	e.Token = token
	e.Token.URL = strings.NewReplacer("SCHEME", scheme, "HOST", server).Replace(token.URL)
	if o.TokenURL != "" {
		e.Token.URL = o.TokenURL
	}
	if e.Token.URL != "" {
		address, err := scoped(e.Token.URL, "repository:"+repository+":pull")
		if err != nil {
			p.put("token-url", err)
		}
		e.Token.URL = address
	}
	manifest := url.URL{Scheme: scheme, Host: server, Path: "/v2/" + repository + "/manifests/" + tag.TagStr()}
	if kind == "dockerhub" {
		e.Hub = true
		manifest = url.URL{Scheme: "https", Host: "hub.docker.com", Path: "/v2/repositories/" + repository + "/tags/" + tag.TagStr()}
	}
	e.Manifest = manifest.String()
	checkText(&p, "username", "user name", o.Username)
	if strings.Contains(o.Username, ":") {
		p.add("username", "malformed user name %q: want one without a colon", o.Username)
	}
	return e, errors.Join(p...)
}

// scoped adds the scope as the only parameter to the address of a token server.
func scoped(server, scope string) (string, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil || !isAddress(server):
		return "", fmt.Errorf("malformed token address %q: want an http or https address such as https://gitlab.example/jwt/auth", address.Redact(server))
	case strings.Contains(server, "&"):
		return "", fmt.Errorf("token address %q: RouterOS can't fetch an address with \"&\": want one without parameters", server)
	case u.Fragment != "":
		return "", fmt.Errorf("token address %q: want one without %q", server, "#"+u.Fragment)
	case strings.HasPrefix(u.RawQuery, "scope="):
		return server, nil
	case u.RawQuery != "":
		return "", fmt.Errorf("token address %q: the scope would be its second parameter, and RouterOS can't fetch an address with \"&\": want one without parameters", server)
	}
	return strings.TrimSuffix(server, "?") + "?scope=" + scope, nil
}

// Headers returns the headers of the request for the manifest in RouterOS's form: separated by commas. A value can't
// contain a comma, so each media type has its own header.
func (e exchange) Headers() string {
	fields := make([]string, len(e.Accept))
	for i, kind := range e.Accept {
		fields[i] = "Accept: " + kind
	}
	return strings.Join(fields, ",")
}
