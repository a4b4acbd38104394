package recipe

import (
	_ "embed"

	"dagger/mikrotik-tailscale/supervisor"
)

// The parts of the supervisor that need Tailscale's own packages, which this module doesn't require: the go command
// passes over the directory because of its name.
var (
	//go:embed files/_tailscale/supervisor.go
	supervisorDaemon string
	//go:embed files/_tailscale/routes.go
	supervisorRoutes string
	//go:embed files/_tailscale/serve.go
	supervisorServe string
	//go:embed files/_tailscale/supervised.go
	supervisorFlags string
)

// supervisedTag is the build tag of those files.
const supervisedTag = "supervised"

// supervised says whether the daemon has its supervisor in it. Without the command line's code, which knows the
// settings, and without the bus of notifications, there is none, and the image needs an entrypoint of its own.
func supervised(r Resolved) bool { return r.Has("cli") && r.Has("ipnbus") }

// addSupervisor adds the supervisor to a stage that compiles Tailscale's daemon.
func addSupervisor(s *Stage) {
	daemon, cli := sourceDir+"/cmd/tailscaled", sourceDir+"/cmd/tailscale/cli"
	s.Files = append(s.Files, texts(supervisor.Source, ".", "supervisor/")...)
	s.Files = append(s.Files,
		File{Name: "supervisor.go", Content: supervisorDaemon},
		File{Name: "routes.go", Content: supervisorRoutes},
		File{Name: "serve.go", Content: supervisorServe},
		File{Name: "supervised.go", Content: supervisorFlags})
	s.Steps = append(s.Steps,
		[]string{"cp", "-R", InDir + "/supervisor", daemon + "/"},
		[]string{"cp", InDir + "/supervisor.go", daemon + "/supervisor.go"},
		[]string{"cp", InDir + "/routes.go", daemon + "/supervisor_routes.go"},
		[]string{"cp", InDir + "/serve.go", daemon + "/supervisor_serve.go"},
		[]string{"cp", InDir + "/supervised.go", cli + "/supervised.go"})
}
