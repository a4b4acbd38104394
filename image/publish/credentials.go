package publish

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// access has the credentials for a registry, and the secrets that errors must not contain.
type access struct {
	auth    authn.Authenticator
	secrets []string
}

// newAccess checks that a user name and a password are both set, or neither.
func newAccess(username, password string) (access, error) {
	anonymous := access{auth: authn.Anonymous}
	switch {
	case username != "" && password != "":
		return as(authn.AuthConfig{Username: username, Password: password}), nil
	case username != "":
		return anonymous, fmt.Errorf("the user %q has no password: want both or neither", username)
	case password != "":
		return anonymous, errors.New("the password has no user name: want both or neither")
	}
	return anonymous, nil
}

// as returns access with credentials, and with the list of their secrets.
func as(config authn.AuthConfig) access {
	a := access{auth: authn.FromConfig(config)}
	for _, s := range []string{config.Password, config.IdentityToken, config.RegistryToken, config.Auth} {
		a.secrets = append(a.secrets, spellings(config.Username, s)...)
	}
	return a
}

// with returns a, or the keychain's credentials for a repository's registry if a has none.
func (a access) with(ctx context.Context, keychain authn.Keychain, repository name.Repository) (access, error) {
	if a.auth != authn.Anonymous {
		return a, nil
	}
	auth, err := authn.Resolve(ctx, keychain, repository)
	if err != nil {
		return a, fmt.Errorf("looking for the password of %s: %w", repository.RegistryStr(), err)
	}
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return a, fmt.Errorf("looking for the password of %s: %w", repository.RegistryStr(), err)
	}
	if *config == (authn.AuthConfig{}) {
		return a, nil
	}
	return as(*config), nil
}

// WithKeychain returns the destination with the keychain's credentials for its registry. A destination that has
// credentials keeps them.
func (d Destination) WithKeychain(ctx context.Context, keychain authn.Keychain) (_ Destination, err error) {
	d.access, err = d.with(ctx, keychain, d.reference.Context())
	return d, err
}

// options returns the options for requests to a registry. If rt is nil, requests use the default transport.
func (a access) options(ctx context.Context, rt http.RoundTripper) []remote.Option {
	all := []remote.Option{remote.WithContext(ctx), remote.WithAuth(a.auth)}
	if rt != nil {
		all = append(all, remote.WithTransport(rt))
	}
	return all
}

// spellings returns the forms in which a secret may appear in an error, because a registry or proxy may repeat a
// request or encode it as JSON.
func spellings(user, secret string) []string {
	if secret == "" {
		return nil
	}
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(user + ":" + secret)), base64.StdEncoding.EncodeToString([]byte(secret))}
	for _, html := range []bool{true, false} {
		var text strings.Builder
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(html)
		if err := e.Encode(secret); err == nil {
			all = append(all, text.String()[1:text.Len()-2])
		}
	}
	// One form may contain another one.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// explained adds the reason for a registry's refusal, and removes secrets from the error in case the registry repeats
// them.
func (a access) explained(err error) error {
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*transport.Error](err); ok && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden}, refusal.StatusCode) {
		why := "the registry refused the user name or password"
		if a.auth == authn.Anonymous {
			why = "the registry requires a user name and a password"
		}
		err = fmt.Errorf("%s: %w", why, err)
	}
	if len(a.secrets) == 0 {
		return err
	}
	text := err.Error()
	for _, s := range a.secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return errors.New(text)
}
