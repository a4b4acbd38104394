package recipe

import "dagger/mikrotik-tailscale/platform"

// Plan describes one image to build: the platform, the configuration, and the resolved features. Its methods return
// the stages and the content of the image.
type Plan struct {
	Target   platform.Target
	Config   Config
	Resolved Resolved
}
