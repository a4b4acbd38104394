package recipe

import (
	"errors"
	"slices"

	"dagger/mikrotik-tailscale/recipe/address"
)

// Addresses are the addresses that a build downloads from. They don't change any bytes, and may contain passwords. So
// they are not part of Config or Stage, which are used in cache keys and attestations. The engine and package local
// pass them to the steps of stages as secret environment variables, and filter all output through Hide.
type Addresses struct {
	// BusyboxURL is the address of busybox's .tar.bz2. The default is the project's own site. The Debian archive is
	// always the fallback.
	BusyboxURL string
	// GoProxy is the GOPROXY setting for downloading Tailscale and Go's toolchain. The default is Go's own.
	GoProxy string
	// GoSumDB is the GOSUMDB setting that verifies downloads. The default is Go's own.
	GoSumDB string
	// DebianMirror is the http or https address of a Debian archive. The default is Debian's own.
	DebianMirror string
}

// The environment variables that pass addresses to steps.
const (
	BusyboxURLVariable   = "BUSYBOX_URL"
	GoProxyVariable      = "GOPROXY"
	GoSumDBVariable      = "GOSUMDB"
	DebianMirrorVariable = "DEBIAN_MIRROR"
)

// Validate returns an error with every malformed address, without passwords.
func (a Addresses) Validate() error {
	return errors.Join(
		address.Check("busybox address", a.BusyboxURL),
		address.Check("Debian mirror", a.DebianMirror),
		address.CheckProxies("Go proxy", a.GoProxy),
		address.CheckSumDB("Go checksum database", a.GoSumDB),
	)
}

// AddressVariables returns the names of the environment variables that a stage gets if their addresses are set.
func AddressVariables(s Stage) []string {
	switch {
	case s.Base == BaseGo:
		// Even without a network, a Go stage may have to find Go's toolchain.
		return []string{GoProxyVariable, GoSumDBVariable}
	case s.Network && slices.ContainsFunc(s.Steps, func(step []string) bool { return slices.Contains(step, BusyboxURLVariable) }):
		return []string{BusyboxURLVariable, DebianMirrorVariable}
	case s.Network:
		return []string{DebianMirrorVariable}
	}
	return nil
}

// NewAddresses returns the addresses in environment variables, the inverse of Variables.
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
