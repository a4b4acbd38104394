package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/local"
)

// signingKey writes a private key in cosign's format to a file.
func signingKey(t *testing.T, password string) (path string) {
	t.Helper()
	_, path = newSigningKey(t, password)
	return path
}

// newSigningKey is signingKey for tests that also need the key itself.
func newSigningKey(t *testing.T, password string) (key *ecdsa.PrivateKey, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	content, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if content, err = encrypted.Encrypt(content, []byte(password)); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "cosign.key")
	text := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: content})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return key, path
}

func TestSignedByTheCommand(t *testing.T) {
	testtools.Require(t, local.Tools()...)
	dockerLogin(t, "", "", "")
	address, wire := listenIn(t, testregistry.Start(t, "", "", false))
	key := signingKey(t, registrySecret)
	t.Setenv("KEY_PASSWORD", registrySecret)
	args := []string{"--address", address + "/me/tailscale", "--arch", "arm"}
	plain := publishJSON(t, append(args, "--dry-run")...)
	signed := publishJSON(t, append(args, "--signing-key", "file://"+key, "--signing-password", "env://KEY_PASSWORD")...)
	if signed.Reference != plain.Reference {
		t.Errorf("the signed reference is %s; the unsigned one is %s", signed.Reference, plain.Reference)
	}
	var predicates []string
	for _, a := range slices.Concat(signed.Attached, signed.Images[0].Attached) {
		if a.Type == signing.BundleType {
			predicates = append(predicates, a.Predicate)
		}
	}
	want := []string{signing.PredicateSignature, "https://slsa.dev/provenance/v1", signing.PredicateSignature, signing.PredicateSBOM}
	if !slices.Equal(predicates, want) {
		t.Errorf("signed are %v; want %v", predicates, want)
	}
	for _, secret := range append(spelled(registrySecret), strings.Split(read(t, key), "\n")[1]) {
		if wire.has(secret) {
			t.Errorf("a secret was pushed as %s", secret)
		}
	}
	if !wire.has(signing.BundleType) {
		t.Error("no signature was pushed")
	}
}

func TestAWrongKeyIsRejectedFirst(t *testing.T) {
	key := signingKey(t, registrySecret)
	t.Setenv("KEY_PASSWORD", `wr0ng&"word"`)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the key itself":    {[]string{"--signing-key", read(t, key)}, "--signing-key does not accept the secret itself, only where to read it from: want env://NAME or file://PATH"},
		"an absent key":     {[]string{"--signing-key", "file:///absent/key"}, "reading --signing-key: open /absent/key"},
		"no password":       {[]string{"--signing-key", "file://" + key}, "the signing key is encrypted"},
		"a wrong password":  {[]string{"--signing-key", "file://" + key, "--signing-password", "env://KEY_PASSWORD"}, "wrong password for the signing key"},
		"only a password":   {[]string{"--signing-password", "env://KEY_PASSWORD"}, "the signing key is missing"},
		"two absent places": {[]string{"--signing-key", "file:///absent/key", "--password", "env://ABSENT_HERE"}, "no password in env://ABSENT_HERE"},
	} {
		t.Run(name, func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "cache")
			stdout, stderr, code := call(t, append([]string{"publish", "--cache-dir", cache, "--address", "127.0.0.1:1/x"}, c.args...)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, standard output %q; the error does not contain %q:\n%s", code, stdout, c.want, stderr)
			}
			for _, secret := range []string{registrySecret, `wr0ng&"word"`, strings.Split(read(t, key), "\n")[1]} {
				if strings.Contains(stderr, secret) {
					t.Errorf("a secret is printed:\n%s", stderr)
				}
			}
			if _, err := os.Stat(cache); err == nil {
				t.Error("something was built")
			}
		})
	}
}
