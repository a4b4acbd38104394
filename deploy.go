package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/routeros/deploy"
)

// Install or update Tailscale on routers over SSH.
//
// Asks each router what it is, builds the image for it, installs or updates it, and returns the plan and how it ended: the login URL, the addresses in the tailnet, or an error. If something fails on a router, what was added there is removed, and the others go on. The function fails if one of the routers failed.
//
// A router that has the image already is left as it is.
//
// +cache="never"
func (m *MikrotikTailscale) Deploy(
	ctx context.Context,
	// Routers, each with its options behind it, for example "admin@192.168.88.1 --subnet 192.168.88.0/24". Repeat an option in place of a list with commas. The options are those of the deploy command.
	router []string,
	// File of known host keys, for example ~/.ssh/known_hosts. Routers that are not in it are refused.
	knownHosts *dagger.File,
	// SSH key to log in with.
	//
	// +optional
	identity *dagger.Secret,
	// Passphrase of the SSH key.
	//
	// +optional
	passphrase *dagger.Secret,
	// Password of the routers.
	//
	// +optional
	password *dagger.Secret,
	// Key to log in to the tailnet. Without it, the result contains the login URL.
	//
	// +optional
	authKey *dagger.Secret,
	// Ask the routers and return the plan; build nothing and change nothing.
	//
	// +optional
	dryRun bool,
	// If the settings of a router have changed, remove the installation and install it again with its state.
	//
	// +optional
	reinstall bool,
) (string, error) {
	sites, err := deploySites(router, reinstall)
	if err != nil {
		return "", err
	}
	access, err := deployAccess(ctx, knownHosts, identity, passphrase, password)
	if err != nil {
		return "", err
	}
	key, err := plain(ctx, "auth key", authKey)
	if err != nil {
		return "", err
	}
	fleet := &deploy.Fleet{Access: access, Sites: sites, Key: strings.TrimSpace(key), Build: m.deployImages}
	fleet.Inspect(ctx)
	lines := fleet.Plan()
	if !dryRun {
		if err := fleet.Prepare(ctx); err != nil {
			return "", err
		}
		var mu sync.Mutex
		note := func(s *deploy.Site, e deploy.Event) {
			if e.Log != "" {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("%s: log: %s", s.Address, e.Log))
			}
		}
		fleet.Apply(ctx, note, func(*deploy.Site, error) {})
	}
	var failures []string
	for _, s := range sites {
		done, wrong := s.Outcome()
		lines, failures = append(lines, done...), append(failures, wrong...)
	}
	text := strings.Join(lines, "\n") + "\n"
	if len(failures) > 0 {
		return "", errors.New(text + strings.Join(failures, "\n"))
	}
	return text, nil
}

// deploySites parses the routers. The error contains all mistakes.
func deploySites(routers []string, reinstall bool) ([]*deploy.Site, error) {
	var sites []*deploy.Site
	var problems []error
	for _, text := range routers {
		s, err := deploy.NewSite(text, nil)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s.Wishes.Reinstall = reinstall
		sites = append(sites, s)
	}
	if len(routers) == 0 {
		problems = append(problems, errors.New("no router: want one or more such as admin@192.168.88.1"))
	}
	return sites, errors.Join(problems...)
}

// plain returns the plain text of a secret, or "" if there is none.
func plain(ctx context.Context, what string, secret *dagger.Secret) (string, error) {
	if secret == nil {
		return "", nil
	}
	text, err := secret.Plaintext(ctx)
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", what, err)
	}
	return strings.TrimRight(text, "\r\n"), nil
}

// deployAccess returns how to log in, and which routers to trust.
func deployAccess(ctx context.Context, knownHosts *dagger.File, identity, passphrase, password *dagger.Secret) (a deploy.Access, err error) {
	directory, err := os.MkdirTemp("", "")
	if err != nil {
		return a, fmt.Errorf("making a directory for the known hosts: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }()
	path, err := knownHosts.Export(ctx, filepath.Join(directory, "known_hosts"))
	if err != nil {
		return a, fmt.Errorf("reading the known hosts: %w", err)
	}
	if a.HostKeys, err = deploy.LoadHostKeys(path, nil); err != nil {
		return a, err
	}
	secret, err := plain(ctx, "password", password)
	if err != nil {
		return a, err
	}
	if secret != "" {
		a.Password = func(string) (string, error) { return secret, nil }
	}
	text, err := plain(ctx, "SSH key", identity)
	if err != nil || text == "" {
		return a, err
	}
	phrase, err := plain(ctx, "passphrase", passphrase)
	if err != nil {
		return a, err
	}
	signer, err := parseKey([]byte(text+"\n"), phrase)
	a.Signers = []ssh.Signer{signer}
	return a, err
}

func parseKey(text []byte, passphrase string) (signer ssh.Signer, err error) {
	if passphrase == "" {
		signer, err = ssh.ParsePrivateKey(text)
	} else {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
	}
	if err != nil {
		err = fmt.Errorf("reading the SSH key: %w", err)
	}
	return signer, err
}

// deployImages builds images and exports them into the module's container.
func (m *MikrotikTailscale) deployImages(ctx context.Context, targets []platform.Target) ([]deploy.Image, error) {
	var names []string
	for _, t := range targets {
		names = append(names, t.Name)
	}
	work, products, err := m.products(ctx, names)
	if err != nil {
		return nil, err
	}
	var all []deploy.Image
	for _, p := range products {
		path, t, err := p.Write(ctx, work)
		if err != nil {
			return nil, fmt.Errorf("building for %s: %w", p.Target, err)
		}
		all = append(all, deploy.Image{Platform: p.Target, Path: path, Size: t.Size, Checksum: "sha256:" + t.SHA256})
	}
	return all, nil
}
