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
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// WithKeychain returns the destination with the credentials that the keychain has for its registry. A
// destination with a user name keeps its own.
func (d Destination) WithKeychain(ctx context.Context, keychain authn.Keychain) (Destination, error) {
	if d.auth != authn.Anonymous {
		return d, nil
	}
	auth, err := authn.Resolve(ctx, keychain, d.reference.Context())
	if err != nil {
		return d, fmt.Errorf("looking for the password of %s: %w", d.reference.RegistryStr(), err)
	}
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return d, fmt.Errorf("looking for the password of %s: %w", d.reference.RegistryStr(), err)
	}
	if *config == (authn.AuthConfig{}) {
		return d, nil
	}
	return d.as(*config), nil
}

// as returns the destination with credentials, and notes what must not be printed.
func (d Destination) as(config authn.AuthConfig) Destination {
	d.auth = authn.FromConfig(config)
	d.secrets = nil
	for _, s := range []string{config.Password, config.IdentityToken, config.RegistryToken, config.Auth} {
		d.secrets = append(d.secrets, spellings(config.Username, s)...)
	}
	return d
}

// spellings are the forms in which a password may turn up in an error: a registry or a proxy may repeat a
// request, or put it into JSON.
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
	// A form may be a part of another one.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// explained says what a registry's refusal means, and takes the password out of an error. No registry is known
// to send a password back, and none shall get it printed.
func (d Destination) explained(err error) error {
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*transport.Error](err); ok && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden}, refusal.StatusCode) {
		why := "the registry refused the user name or password"
		if d.auth == authn.Anonymous {
			why = "the registry wants a user name and a password"
		}
		err = fmt.Errorf("%s: %w", why, err)
	}
	if len(d.secrets) == 0 {
		return err
	}
	text := err.Error()
	for _, s := range d.secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return errors.New(text)
}
