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

// Where the image's own scripts are.
const (
	entrypointPath  = "usr/local/bin/entrypoint"
	healthcheckPath = "usr/local/bin/healthcheck"
)

// scriptApplets are what the scripts run by name; all else in them is built into the shell.
var scriptApplets = []string{"ash", "nc", "sh", "sleep"}

// missingApplets says what a list lacks to start the image.
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

// script gives a script as it goes into the image, without lines that only its readers need:
// flash is dear.
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

// healthcheck makes Docker, and RouterOS 7.22 and later, run the check once a minute, which is seldom enough
// for a slow board. Package routeros replaces it by one that fails only if the daemon does not answer.
func healthcheck() *v1.HealthConfig {
	return &v1.HealthConfig{
		Test:     []string{"CMD", "/" + healthcheckPath},
		Interval: time.Minute, Timeout: 30 * time.Second, StartPeriod: time.Minute, Retries: 3,
	}
}
