package recipe

import (
	"dagger/mikrotik-tailscale/daemon"
	"dagger/mikrotik-tailscale/daemon/magicdns"
)

// addMagicDNS adds package magicdns to a stage that compiles a daemon without gVisor's network stack.
func addMagicDNS(s *Stage, c Config) {
	tailscaled := sourceDir + "/cmd/tailscaled"
	s.Files = append(s.Files, embedded(magicdns.Source, ".", "magicdns/")...)
	s.Files = append(s.Files, File{Name: "magicdns.go", Content: daemon.MagicDNS})
	s.Steps = append(s.Steps,
		[]string{"cp", "-R", InDir + "/magicdns", tailscaled + "/"},
		[]string{"cp", InDir + "/magicdns.go", tailscaled + "/magicdns.go"})
	if panicsOnInjectedPackets(c.TailscaleVersion) {
		s.Steps = append(s.Steps, allowInjectedPackets())
	}
}

// panicsOnInjectedPackets reports whether a release without gVisor's network stack panics when it sends a packet of
// its own, for example the answer to "tailscale ping --tsmp". It calls a function for gVisor's packets with every
// packet. Since 1.104, it checks first.
func panicsOnInjectedPackets(version string) bool {
	minor, ok := minorOf(version)
	return ok && minor < 104
}

// allowInjectedPackets returns the step that turns this function into one that does nothing.
func allowInjectedPackets() []string {
	return shell(`source=$1/net/tstun/wrap.go
		sed '/^func invertGSOChecksum(/,/^}/s/panic("unreachable")/return/' "$source" >wrap.go
		changed=$(diff "$source" wrap.go | grep -c '^>' || true)
		if [ "$changed" != 1 ]; then
			echo "this Tailscale release handles its own packets in an unknown way: build it with the feature netstack" >&2
			exit 1
		fi
		cp wrap.go "$source"`, sourceDir)
}
