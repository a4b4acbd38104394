// Package daemon has the files that the build adds to Tailscale's cmd/tailscaled. Its subdirectories are the packages
// that these files use.
//
// The files import packages of Tailscale, which this module doesn't require. The go command ignores them because the
// name of their directory begins with an underscore.
package daemon

import _ "embed"

// The comment at the top of each file says what it does.
var (
	//go:embed _tailscaled/logfilter.go
	LogFilter string
	//go:embed _tailscaled/magicdns.go
	MagicDNS string
	//go:embed _tailscaled/memory.go
	Memory string
	//go:embed _tailscaled/processname.go
	ProcessName string
	//go:embed _tailscaled/roots.go
	Roots string
	//go:embed _tailscaled/routes.go
	Routes string
	//go:embed _tailscaled/serve.go
	Serve string
	//go:embed _tailscaled/supervised.go
	Supervised string
	//go:embed _tailscaled/supervisor.go
	Supervisor string
)
