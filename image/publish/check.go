package publish

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Check asks the registry whether it accepts a push, so that a wrong address or password shows before anything is
// built. It starts an upload and cancels it. If rt is nil, Check uses the default transport.
func Check(ctx context.Context, d Destination, rt http.RoundTripper) error {
	if rt == nil {
		rt = remote.DefaultTransport
	}
	err := remote.CheckPushPermission(d.reference, known{d.auth}, bound{ctx, transport.NewRetry(rt)})
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("asking %s for permission to push: %w", d.reference.RegistryStr(), err)
	}
	return d.explained(err)
}

// known is a keychain that returns the same credentials for every registry.
type known struct{ auth authn.Authenticator }

// Resolve implements authn.Keychain.
func (k known) Resolve(authn.Resource) (authn.Authenticator, error) { return k.auth, nil }

// bound runs requests with a context, which the library's own requests lack.
type bound struct {
	ctx context.Context
	rt  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.rt.RoundTrip(r.WithContext(b.ctx))
}
