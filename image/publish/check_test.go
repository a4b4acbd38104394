package publish

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
)

func TestTheRegistryIsAskedBeforeAnythingIsBuilt(t *testing.T) {
	open := testregistry.Start(t, "", "", false)
	closed := testregistry.Start(t, user, secret, false)
	frozen := testregistry.Start(t, "", "", true)
	for name, c := range map[string]struct{ address, user, password, want string }{
		"anybody may push":   {open, "", "", ""},
		"the right password": {closed, user, secret, ""},
		"a wrong password":   {closed, user, "wr0ng&word", "the registry refused the user name or password: "},
		"no password":        {closed, "", "", "the registry requires a user name and a password: "},
		"no pushes":          {frozen, "", "", "405 Method Not Allowed"},
		"unreachable":        {"127.0.0.1:1", user, secret, "connection refused"},
		"unknown host":       {"registry.invalid", user, secret, "registry.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(t.Context(), destination(t, c.address+"/x", nil, c.user, c.password), nil)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "asking "+c.address+" for permission to push") {
				t.Fatalf("error = %v; want it to say %q", err, c.want)
			}
			if c.password != "" && strings.Contains(err.Error(), c.password) {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

// A registry may accept a login and still refuse the push.
func TestAReaderIsRefusedWithTheReason(t *testing.T) {
	for status, blame := range map[int]bool{http.StatusUnauthorized: true, http.StatusForbidden: true, http.StatusInsufficientStorage: false} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			err := Check(t.Context(), destination(t, quickRegistry(t, refuse(status))+"/x", nil, user, secret), nil)
			if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "refused the user name or password") != blame {
				t.Errorf("error = %v; blames the password: want %v", err, blame)
			}
		})
	}
}

// Asking for permission leaves nothing in the repository, and differs from a push.
func TestAskingPushesNothing(t *testing.T) {
	var methods []string
	real := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		if r.Method == http.MethodDelete {
			return // the test may be over before the upload is cancelled
		}
		real.ServeHTTP(w, r)
	}))
	d := destination(t, strings.TrimPrefix(server.URL, "http://")+"/x", nil, "", "")
	if err := Check(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	server.Close()
	for _, m := range methods {
		if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete}, m) {
			t.Errorf("the registry got a %s", m)
		}
	}
}

// Ctrl-C cancels the question, too, and the caller's transport is used.
func TestAskingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent := roundTripper(func(r *http.Request) (*http.Response, error) {
		cancel()
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	if err := Check(ctx, destination(t, "registry.invalid/x", nil, "", ""), silent); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v; want the cancellation", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
