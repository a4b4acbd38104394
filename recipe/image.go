package recipe

import (
	"maps"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Title is the name of the image, and of the repository in its tarballs.
const Title = "mikrotik-tailscale"

// ImageConfig returns the configuration of the image: how a container starts, and its labels.
func (p Plan) ImageConfig() v1.Config {
	c := p.Config
	env := []string{"PATH=" + searchPath}
	if c.Certificates == CertificatesFile {
		// Go programs look there by default. Other programs read this variable.
		env = append(env, "SSL_CERT_FILE=/"+certificatePath)
	}
	if !c.KeepSymbols {
		// With it, a crash report contains the addresses that the command symbolize needs.
		env = append(env, "GOTRACEBACK=system")
	}
	config := v1.Config{
		Entrypoint: []string{"/" + entrypointPath},
		// The entrypoint needs no arguments, but some RouterOS releases require an image to have some.
		Cmd:         []string{"tailscaled"},
		Env:         env,
		WorkingDir:  "/",
		Volumes:     map[string]struct{}{stateDir: {}},
		Labels:      imageLabels(c, p.Resolved),
		Healthcheck: healthcheck(),
	}
	if len(c.Entrypoint) > 0 {
		// The image doesn't know the arguments and the health check of another program.
		config.Entrypoint, config.Cmd, config.Healthcheck = c.Entrypoint, nil, nil
	}
	return config
}

// imageLabels returns the labels of the image: Annotations, and labels that only this project uses.
func imageLabels(c Config, r Resolved) map[string]string {
	all := Annotations(c)
	all[labels+"tailscale.version"] = c.TailscaleVersion
	all[labels+"tailscale.features"] = strings.Join(r.Features, ",")
	all[labels+"busybox.version"] = c.BusyboxVersion
	all[labels+"compression"] = string(c.Compression)
	maps.Copy(all, c.Labels)
	return all
}

// Annotations returns descriptions of the images of all platforms, under the names that OCI defines.
func Annotations(c Config) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       Title,
		"org.opencontainers.image.description": "Tailscale " + c.TailscaleVersion + " for MikroTik routers",
		"org.opencontainers.image.source":      "https://github.com/tailscale/tailscale",
		"org.opencontainers.image.version":     c.ImageVersion(),
		"org.opencontainers.image.licenses":    "BSD-3-Clause AND GPL-2.0-only AND MIT AND MPL-2.0",
	}
}

// labels is the prefix of the labels that only this project uses.
const labels = Title + "."
