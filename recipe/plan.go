package recipe

import "dagger/mikrotik-tailscale/platform"

// Plan is one image as it will be built: the platform, what the user has chosen, and what the chosen features mean to
// this Tailscale release. Its methods return the stages and the contents of the image.
type Plan struct {
	Target   platform.Target
	Config   Config
	Resolved Resolved
}
