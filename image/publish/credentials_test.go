package publish

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// keys is a keychain with credentials for one registry.
type keys struct {
	registry string
	config   authn.AuthConfig
	err      error
}

func (k keys) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() != k.registry {
		return authn.Anonymous, k.err
	}
	return authn.FromConfig(k.config), k.err
}

func TestAKeychainAddsMissingCredentials(t *testing.T) {
	keychain := keys{registry: "registry.example", config: authn.AuthConfig{Username: "docker", Password: "kept"}}
	for name, c := range map[string]struct{ address, user, password, want string }{
		"none given":       {"registry.example/x", "", "", "docker:kept"},
		"given":            {"registry.example/x", user, secret, user + ":" + secret},
		"another registry": {"other.example/x", "", "", ":"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := destination(t, c.address, nil, c.user, c.password).WithKeychain(t.Context(), keychain)
			if err != nil {
				t.Fatal(err)
			}
			got, err := authn.Authorization(t.Context(), d.auth)
			if err != nil || got.Username+":"+got.Password != c.want {
				t.Errorf("credentials = %s:%s (%v); want %s", got.Username, got.Password, err, c.want)
			}
		})
	}
}

func TestABrokenKeychainIsAnError(t *testing.T) {
	broken := errors.New("config.json is not JSON")
	_, err := destination(t, "registry.example/x", nil, "", "").WithKeychain(t.Context(), keys{err: broken})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "registry.example") {
		t.Errorf("error = %v", err)
	}
}

// A registry may repeat a secret in the form in which it was sent.
func TestNoFormOfASecretIsPrinted(t *testing.T) {
	const password, token = `p<a>ss&wörd/+1"`, "t0ken-of-%docker"
	plain := destination(t, "registry.example/x", nil, user, password)
	fromDocker, err := destination(t, "registry.example/x", nil, "", "").WithKeychain(t.Context(),
		keys{registry: "registry.example", config: authn.AuthConfig{IdentityToken: token}})
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(password)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d    Destination
		form string
	}{
		{plain, password},
		{plain, string(asJSON[1 : len(asJSON)-1])},
		{plain, strings.ReplaceAll(password, `"`, `\"`)},
		{plain, url.QueryEscape(password)},
		{plain, url.PathEscape(password)},
		{plain, base64.StdEncoding.EncodeToString([]byte(user + ":" + password))},
		{plain, base64.StdEncoding.EncodeToString([]byte(password))},
		{fromDocker, token},
		{fromDocker, url.QueryEscape(token)},
	} {
		if got := c.d.explained(errors.New("bad request: " + c.form + ", sorry")).Error(); got != "bad request: ***, sorry" {
			t.Errorf("the error says %q", got)
		}
	}
	if err := destination(t, "registry.example/x", nil, "", "").explained(context.Canceled); err != context.Canceled {
		t.Errorf("without a password, the error became %v", err)
	}
}
