package recipe

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dagger/mikrotik-tailscale/applets"
)

//go:embed files/entrypoint.sh
var entrypointScript string

//go:embed files/healthcheck.sh
var healthcheckScript string

// The paths of the image's own scripts.
const (
	entrypointPath  = "usr/local/bin/entrypoint"
	healthcheckPath = "usr/local/bin/healthcheck"
)

// scriptApplets are the applets that the scripts run. All other commands in the scripts are built into the shell.
var scriptApplets = []string{"ash", "nc", "sh", "sleep"}

// missingApplets returns an error if a list lacks applets that the image needs to start.
func missingApplets(list applets.List) error {
	var missing []string
	for _, a := range scriptApplets {
		if !slices.Contains(list.Names(), a) {
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the applets lack %s: the image's scripts need %s", strings.Join(missing, ", "), strings.Join(scriptApplets, ", "))
}

// script returns a script without comments, to save flash.
func script(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") && !strings.HasPrefix(trimmed, "#!") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// healthcheck returns the check that Docker, and RouterOS 7.22 and later, run once a minute, which is seldom enough
// for a slow board. Package routeros replaces it with a check that only fails if the daemon doesn't answer.
func healthcheck() *v1.HealthConfig {
	return &v1.HealthConfig{
		Test:     []string{"CMD", "/" + healthcheckPath},
		Interval: time.Minute, Timeout: 30 * time.Second, StartPeriod: time.Minute, Retries: 3,
	}
}
