package routeros

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// The ways in which registries let people in.
const (
	// RegistryAuto knows the way by the registry's host. A registry that is not known is plain.
	RegistryAuto = "auto"
	// RegistryPlain asks for a user name and password with each request, or for nothing.
	RegistryPlain = "plain"
)

// tokens says where each kind of registry gives its tokens away. A router can't find it out by
// itself, as every other client does: it is in a header of a refusal, which scripts of the older
// releases do not get to see. HOST stands for the registry's host.
var tokens = map[string]string{
	"dockerhub": "https://auth.docker.io/token?service=registry.docker.io",
	"ghcr":      "https://ghcr.io/token?service=ghcr.io",
	"gitlab":    "https://gitlab.com/jwt/auth?service=container_registry",
	"gitea":     "SCHEME://HOST/v2/token?service=container_registry",
}

// kinds are the hosts whose kind is known.
var kinds = map[string]string{
	name.DefaultRegistry:  "dockerhub",
	"ghcr.io":             "ghcr",
	"registry.gitlab.com": "gitlab",
	"codeberg.org":        "gitea",
	"gitea.com":           "gitea",
}

// Registries lists the accepted values of Options.Registry.
func Registries() []string {
	return append([]string{RegistryAuto, RegistryPlain}, slices.Sorted(maps.Keys(tokens))...)
}

// exchange is what the router says to a registry to learn the digest of an image.
type exchange struct {
	// Reference is the image, as the router's own client takes it.
	Reference string
	// Token is the address that gives the token. None is needed when empty.
	Token string
	// Manifest is the address of the manifest.
	Manifest string
	// Accept are the media types of the manifests that are understood.
	Accept []string
}

// accepted are the manifests of several platforms and of one, as OCI and Docker write them. Ours is
// the last, should a router only send the last of several headers of a name.
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
		return e, fmt.Errorf("malformed image %q: host, repository and tag are wanted, such as ghcr.io/me/tailscale:stable", o.Image)
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
	if kind != "" && kind != RegistryPlain {
		address, ok := tokens[kind]
		if !ok {
			p.add("unknown registry %q: choose one of %s", o.Registry, strings.Join(Registries(), ", "))
		}
		e.Token = strings.NewReplacer("SCHEME", scheme, "HOST", server).Replace(address)
	}
	if o.TokenURL != "" {
		if !isAddress(o.TokenURL) {
			p.add("malformed token address %q: an http or https address is wanted, such as https://gitlab.example/jwt/auth?service=container_registry", o.TokenURL)
		}
		e.Token = o.TokenURL
	}
	if e.Token != "" {
		separator := "?"
		if strings.Contains(e.Token, "?") {
			separator = "&"
		}
		e.Token += separator + "scope=repository:" + repository + ":pull"
	}
	if server == name.DefaultRegistry {
		server = "registry-1.docker.io"
	}
	manifest := url.URL{Scheme: scheme, Host: server, Path: "/v2/" + repository + "/manifests/" + tag.TagStr()}
	e.Manifest = manifest.String()
	checkText(&p, "user name", o.Username)
	if strings.Contains(o.Username, ":") {
		p.add("malformed user name %q: one without a colon is wanted", o.Username)
	}
	return e, errors.Join(p...)
}

// Headers are those of the request for the manifest, as RouterOS takes them: separated by commas,
// so that none can be in a value, and each media type has a header of its own.
func (e exchange) Headers() string {
	fields := make([]string, len(e.Accept))
	for i, kind := range e.Accept {
		fields[i] = "Accept: " + kind
	}
	return strings.Join(fields, ",")
}
