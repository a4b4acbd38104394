package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestRoutersToDeployToHaveTheirOwnOptions(t *testing.T) {
	sites, err := deploySites([]string{"admin@192.168.88.1 --subnet 192.168.88.0/24 --hostname attic", "me@router.example:2222 --exit-node"}, true)
	if err != nil || len(sites) != 2 {
		t.Fatalf("%d routers: %v", len(sites), err)
	}
	if s := sites[0]; s.Address.Host != "192.168.88.1" || s.Wishes.Options.Hostname != "attic" || !s.Wishes.Reinstall {
		t.Errorf("the first router is %+v", s)
	}
	if s := sites[1]; s.Address.Port != 2222 || !s.Wishes.Options.ExitNode || len(s.Wishes.Options.Subnets) > 0 {
		t.Errorf("the second router is %+v", s)
	}
	for want, routers := range map[string][]string{
		"no router: want one or more":                       nil,
		`malformed router "admin@"`:                         {"admin@"},
		"unknown flag: --subnets":                           {"admin@192.168.88.1 --subnets x"},
		"want 192.168.88.0/24":                              {"admin@192.168.88.1 --subnet 192.168.88.1/24"},
		`unexpected argument "other" after admin@192.0.2.1`: {"admin@192.0.2.1 other"},
	} {
		if _, err := deploySites(routers, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error = %v; want it to say %q", routers, err, want)
		}
	}
}

func TestTheKeyToDeployWith(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	open, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("open"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		block            *pem.Block
		passphrase, want string
	}{{open, "", ""}, {locked, "open", ""}, {locked, "", "reading the SSH key"}, {locked, "wrong", "reading the SSH key"}} {
		if _, err := parseKey(pem.EncodeToMemory(c.block), c.passphrase); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("passphrase %q: error = %v; want %q", c.passphrase, err, c.want)
		}
	}
}
