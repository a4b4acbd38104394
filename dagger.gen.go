package main

import "dagger/mikrotik-tailscale/internal/dagger"

// dag stands in for the engine's client. When the engine loads the module, it generates this file in its own copy.
// See internal/dagger.
var dag *dagger.Client

func main() {
	panic("this is a Dagger module: run it with dagger call, or use cmd/mikrotik-tailscale without Dagger")
}
