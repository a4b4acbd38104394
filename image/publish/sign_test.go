package publish

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testregistry"
	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/image/attest"
	"dagger/mikrotik-tailscale/image/signing"
	"dagger/mikrotik-tailscale/image/signing/signingtest"
)

func newKey(t *testing.T) signing.Key {
	t.Helper()
	key, _ := signingtest.Keys(t)
	return key
}

// attested returns a release with the same kinds of attestations as a build's.
func attested(t *testing.T) *Release {
	t.Helper()
	all := images(t)
	for i := range all {
		all[i].Attached = []Attachment{
			{Type: attest.SBOMType, Text: `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[]}`},
			{Type: attest.SymbolsType, Text: "symbols"},
		}
	}
	r, err := NewRelease(all, annotations)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	statement, err := signing.Statement(digest, attest.PredicateProvenance, `{"buildDefinition":{"buildType":"test"},"runDetails":{"builder":{"id":"test"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	r.Attach(Attachment{Type: attest.ProvenanceType, Text: statement})
	return r
}

func sign(t *testing.T, r *Release, k signing.Key) *Release {
	t.Helper()
	if err := r.sign(k); err != nil {
		t.Fatal(err)
	}
	return r
}

// Signatures are attached to their subject. They change neither the subject nor other attachments.
func TestASignedReleaseHasTheSameDigests(t *testing.T) {
	d := destination(t, "registry.example/x", nil, "", "")
	key := newKey(t)
	var contents [3]Contents
	for i, r := range []*Release{attested(t), sign(t, attested(t), key), sign(t, attested(t), key)} {
		var err error
		if contents[i], err = ContentsOf(d, r); err != nil {
			t.Fatal(err)
		}
	}
	plain, signed, again := contents[0], contents[1], contents[2]
	if signed.Table() != again.Table() {
		t.Errorf("signed again, it is\n%s\nit was\n%s", again.Table(), signed.Table())
	}
	if signed.Reference != plain.Reference {
		t.Errorf("the index is %s, signed %s", plain.Reference, signed.Reference)
	}
	check := func(before, after []Part, predicates ...string) {
		t.Helper()
		if !slices.Equal(after[:len(before)], before) {
			t.Errorf("attached is %v; before: %v", after, before)
		}
		var got []string
		for _, p := range after[len(before):] {
			if p.Type != signing.BundleType {
				t.Errorf("%+v is no bundle", p)
			}
			got = append(got, p.Predicate)
		}
		if !slices.Equal(got, predicates) {
			t.Errorf("signed are %v; want %v", got, predicates)
		}
	}
	check(plain.Attached, signed.Attached, signing.PredicateSignature, attest.PredicateProvenance)
	for i, image := range signed.Images {
		if image.Digest != plain.Images[i].Digest {
			t.Errorf("the image is %s, signed %s", plain.Images[i].Digest, image.Digest)
		}
		check(plain.Images[i].Attached, image.Attached, signing.PredicateSignature, signing.PredicateSBOM)
	}
}

func TestAnSBOMThatIsNoJSONIsNotSigned(t *testing.T) {
	all := images(t)
	all[1].Attached = []Attachment{{Type: attest.SBOMType, Text: "no JSON"}}
	r, err := NewRelease(all, annotations)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.sign(newKey(t)); err == nil || !strings.Contains(err.Error(), "signing the image for "+all[1].Target.Name) {
		t.Errorf("error = %v", err)
	}
}

const cosignProgram = "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3"

// The test uses the program with which users check signatures.
func TestCosignAcceptsWhatIsSignedAndNothingElse(t *testing.T) {
	testmode.Long(t)
	program := testtools.Program(t, cosignProgram)
	directory := t.TempDir()
	const password = "s3cret&word"
	cosign := func(args ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = directory
		cmd.Env = []string{"HOME=" + directory, "COSIGN_PASSWORD=" + password, "PATH=" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, pair := range []string{"mine", "other"} {
		if out, err := cosign("generate-key-pair", "--output-key-prefix", pair); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(directory, "mine.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.ParseKey(string(text), password)
	if err != nil {
		t.Fatal(err)
	}

	d := destination(t, testregistry.Start(t, "", "", false)+"/routers/tailscale", []string{"stable"}, "", "")
	r := sign(t, attested(t), key)
	reference, err := Push(t.Context(), d, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	repository := d.reference.Context()
	verdict := func(want bool, pair, reference string, args ...string) {
		t.Helper()
		args = append(args, "--key", pair+".pub", "--insecure-ignore-tlog=true", reference)
		if out, err := cosign(args...); (err == nil) != want {
			t.Errorf("cosign %s: %v; want accepted: %v\n%s", strings.Join(args, " "), err, want, out)
		}
	}
	subjects := []string{reference, repository.Tag("stable").String()}
	for _, i := range r.images {
		digest, err := i.Image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, repository.Digest(digest.String()).String(), repository.Tag("stable-"+i.Target.Name).String())
	}
	for i, subject := range subjects {
		verdict(true, "mine", subject, "verify")
		verdict(false, "other", subject, "verify")
		isIndex := i < 2
		verdict(isIndex, "mine", subject, "verify-attestation", "--type", attest.PredicateProvenance)
		verdict(!isIndex, "mine", subject, "verify-attestation", "--type", "cyclonedx")
	}

	// An image with a changed byte has no valid signature, even if the signatures of the original image are attached
	// to it.
	changed := mutate.Annotations(r.images[0].Image, map[string]string{"changed": "yes"}).(v1.Image)
	subject, err := partial.Descriptor(changed)
	if err != nil {
		t.Fatal(err)
	}
	bad := repository.Digest(subject.Digest.String())
	if err := remote.Write(bad, changed); err != nil {
		t.Fatal(err)
	}
	verdict(false, "mine", bad.String(), "verify")
	for _, a := range r.images[0].Attached {
		if err := attach(repository, *subject, a, nil); err != nil {
			t.Fatal(err)
		}
	}
	verdict(false, "mine", bad.String(), "verify")

	// A signature does not cover a different statement.
	statement, err := signing.Statement(subject.Digest.Hex, signing.PredicateSignature, "")
	if err != nil {
		t.Fatal(err)
	}
	good, err := bundleOf(key, statement)
	if err != nil {
		t.Fatal(err)
	}
	payload := base64.StdEncoding.EncodeToString([]byte(statement))
	forged := good
	forged.Text = strings.Replace(good.Text, payload, base64.StdEncoding.EncodeToString([]byte(statement+" ")), 1)
	if forged.Text == good.Text {
		t.Fatal("the bundle does not contain the statement")
	}
	if err := attach(repository, *subject, forged, nil); err != nil {
		t.Fatal(err)
	}
	verdict(false, "mine", bad.String(), "verify")
	if err := attach(repository, *subject, good, nil); err != nil {
		t.Fatal(err)
	}
	verdict(true, "mine", bad.String(), "verify")
}
