package recipe

import (
	"maps"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dagger/mikrotik-tailscale/platform"
)

// Title is the image's name, and that of its tarballs' repository.
const Title = "mikrotik-tailscale"

// Image is what an image's configuration says.
type Image struct {
	Target     platform.Target
	Entrypoint []string
	// Cmd are the default arguments.
	Cmd         []string
	Env         []Variable
	WorkingDir  string
	Volumes     []string
	Labels      map[string]string
	Healthcheck *v1.HealthConfig
}

// ImageConfig is the configuration of the image for a target.
func ImageConfig(t platform.Target, c Config, r Resolved) Image {
	env := []Variable{{"PATH", searchPath}}
	if c.Certificates == CertificatesFile {
		// Go would look here by itself; other programs are told.
		env = append(env, Variable{"SSL_CERT_FILE", "/" + certificatePath})
	}
	if !c.KeepSymbols {
		// Only so a crash says where in the program it was, for the command symbolize.
		env = append(env, Variable{"GOTRACEBACK", "system"})
	}
	i := Image{
		Target:     t,
		Entrypoint: []string{"/" + entrypointPath},
		// The entrypoint would do without, but some releases of RouterOS want an image to have one.
		Cmd:         []string{"tailscaled"},
		Env:         env,
		WorkingDir:  "/",
		Volumes:     []string{stateDir},
		Labels:      imageLabels(c, r),
		Healthcheck: healthcheck(),
	}
	if len(c.Entrypoint) > 0 {
		// What it starts, only its owner knows.
		i.Entrypoint, i.Cmd, i.Healthcheck = c.Entrypoint, nil, nil
	}
	return i
}

// imageLabels are what an image says of itself: Annotations, and what only this project's users know.
func imageLabels(c Config, r Resolved) map[string]string {
	all := Annotations(c)
	all[labels+"tailscale.version"] = c.TailscaleVersion
	all[labels+"tailscale.features"] = strings.Join(r.Features, ",")
	all[labels+"busybox.version"] = c.BusyboxVersion
	all[labels+"compression"] = string(c.Compression)
	maps.Copy(all, c.Labels)
	return all
}

// Annotations describe the images of all platforms to people, under the names that OCI gives.
func Annotations(c Config) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       Title,
		"org.opencontainers.image.description": "Tailscale " + c.TailscaleVersion + " for MikroTik routers",
		"org.opencontainers.image.source":      "https://github.com/tailscale/tailscale",
		"org.opencontainers.image.version":     c.ImageVersion(),
		"org.opencontainers.image.licenses":    "BSD-3-Clause AND GPL-2.0-only AND MIT AND MPL-2.0",
	}
}

// labels prefixes the labels that only this project uses.
const labels = Title + "."
