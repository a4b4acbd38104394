package recipe

import (
	"errors"
	"slices"

	"dagger/mikrotik-tailscale/recipe/address"
)

// Addresses are where a build downloads from. They change no bytes and may hold passwords. So they are no part of
// Config or Stage, which end up in keys and attestations: the engine or package local hands them to the steps of stages as secret
// environment variables, and shows no text that Hide has not seen.
type Addresses struct {
	// BusyboxURL is the address to download busybox's .tar.bz2 from. Defaults to the project's own site. The Debian
	// archive comes second in any case.
	BusyboxURL string
	// GoProxy is the GOPROXY setting to get Tailscale and Go's toolchain with. Defaults to Go's own.
	GoProxy string
	// GoSumDB is the GOSUMDB setting that vouches for what the proxy gives. Defaults to Go's own.
	GoSumDB string
	// DebianMirror is the http or https address of a Debian archive. Defaults to Debian's own.
	DebianMirror string
}

// The environment variables that hold addresses while steps run.
const (
	BusyboxURLVariable   = "BUSYBOX_URL"
	GoProxyVariable      = "GOPROXY"
	GoSumDBVariable      = "GOSUMDB"
	DebianMirrorVariable = "DEBIAN_MIRROR"
)

// Validate reports every malformed address in one error, without its password.
func (a Addresses) Validate() error {
	return errors.Join(
		address.Check("busybox address", a.BusyboxURL),
		address.Check("Debian mirror", a.DebianMirror),
		address.CheckProxies("Go proxy", a.GoProxy),
		address.CheckSumDB("Go checksum database", a.GoSumDB),
	)
}

// AddressVariables are the names of the environment variables that a stage gets, where their addresses are known.
func AddressVariables(s Stage) []string {
	switch {
	case s.Base == BaseGo:
		// A Go stage without a network may still have to find Go's toolchain.
		return []string{GoProxyVariable, GoSumDBVariable}
	case s.Network && slices.ContainsFunc(s.Steps, func(step []string) bool { return slices.Contains(step, BusyboxURLVariable) }):
		return []string{BusyboxURLVariable, DebianMirrorVariable}
	case s.Network:
		return []string{DebianMirrorVariable}
	}
	return nil
}

// NewAddresses makes addresses of environment variables, as Variables returns them.
func NewAddresses(variables map[string]string) Addresses {
	return Addresses{
		BusyboxURL: variables[BusyboxURLVariable], DebianMirror: variables[DebianMirrorVariable],
		GoProxy: variables[GoProxyVariable], GoSumDB: variables[GoSumDBVariable],
	}
}

// Variables returns the addresses as environment variables.
func (a Addresses) Variables() map[string]string {
	return map[string]string{
		BusyboxURLVariable: a.BusyboxURL, DebianMirrorVariable: a.DebianMirror,
		GoProxyVariable: a.GoProxy, GoSumDBVariable: a.GoSumDB,
	}
}

// All returns the addresses, for address.Hide.
func (a Addresses) All() []string {
	return []string{a.BusyboxURL, a.GoProxy, a.GoSumDB, a.DebianMirror}
}
