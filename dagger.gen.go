package main

import "dagger/mikrotik-tailscale/internal/dagger"

// dag stands in for the engine's client. The Dagger engine generates this file anew when it
// loads the module; see internal/dagger.
var dag *dagger.Client

func main() {
	panic("this is a Dagger module: dagger call runs it, and cmd/mikrotik-tailscale does without Dagger")
}
