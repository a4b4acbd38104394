package recipe

import (
	"dagger/mikrotik-tailscale/daemon"
	"dagger/mikrotik-tailscale/daemon/supervisor"
)

// supervisedTag is the build tag of the supervisor's files.
const supervisedTag = "supervised"

// supervised reports whether the daemon contains its supervisor. The supervisor needs the CLI's code, which knows the
// settings, and the notification bus. Without them, the user has to set another entrypoint: see missingFeatures.
func supervised(r Resolved) bool { return r.Has("cli") && r.Has("ipnbus") }

// addSupervisor adds the supervisor to a stage that compiles Tailscale's daemon.
func addSupervisor(s *Stage) {
	tailscaled, cli := sourceDir+"/cmd/tailscaled", sourceDir+"/cmd/tailscale/cli"
	s.Files = append(s.Files, embedded(supervisor.Source, ".", "supervisor/")...)
	s.Files = append(s.Files,
		File{Name: "supervisor.go", Content: daemon.Supervisor},
		File{Name: "routes.go", Content: daemon.Routes},
		File{Name: "serve.go", Content: daemon.Serve},
		File{Name: "supervised.go", Content: daemon.Supervised})
	s.Steps = append(s.Steps,
		[]string{"cp", "-R", InDir + "/supervisor", tailscaled + "/"},
		[]string{"cp", InDir + "/supervisor.go", tailscaled + "/supervisor.go"},
		[]string{"cp", InDir + "/routes.go", tailscaled + "/supervisor_routes.go"},
		[]string{"cp", InDir + "/serve.go", tailscaled + "/supervisor_serve.go"},
		[]string{"cp", InDir + "/supervised.go", cli + "/supervised.go"})
}
