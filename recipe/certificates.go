package recipe

import (
	"dagger/mikrotik-tailscale/daemon"
	"dagger/mikrotik-tailscale/shrink/roots"
)

// CertificatePlace is where the image has the CA certificates.
type CertificatePlace string

const (
	// CertificatesBuiltIn makes them part of Tailscale's program, at a third of the size. Certificates in
	// /etc/ssl/certs override them.
	CertificatesBuiltIn CertificatePlace = "built-in"
	// CertificatesFile is a PEM file that other programs can use, too.
	CertificatesFile CertificatePlace = "file"
)

// CertificatePlaces returns the accepted values of Config.Certificates.
func CertificatePlaces() []CertificatePlace {
	return []CertificatePlace{CertificatesBuiltIn, CertificatesFile}
}

// Certificates returns the stage whose output is the CA certificates as one PEM file. It reads them from the package,
// because /etc/ssl may contain a machine's own additions.
func Certificates() Stage {
	return Stage{
		Name: "certificates", Base: BaseDebian, Packages: tools.packages(),
		Env:    []Variable{{"LC_ALL", "C"}},
		Steps:  [][]string{shell(`cat /usr/share/ca-certificates/mozilla/*.crt >"$1"`, OutDir+"/ca-certificates.crt")},
		Output: "ca-certificates.crt",
	}
}

// builtInRootsTag is the build tag of the file that reads the built-in certificates.
const builtInRootsTag = "built_in_roots"

// builtInRoots adds the CA certificates to a stage that compiles Tailscale's daemon.
func (p Plan) builtInRoots(s *Stage) {
	certificates := Certificates()
	packed := toolStage("pack certificates", p.toolchain(), embedded(roots.Source, ".", "shrink/roots/"), "shrink/roots/pack", certificates, "roots.der")
	s.Files = append(s.Files, File{Name: "roots.go", Content: daemon.Roots})
	s.Inputs = append(s.Inputs, Input{Name: packed.Output, Stage: &packed})
	s.Steps = append(s.Steps, []string{"cp", InDir + "/roots.go", InDir + "/" + packed.Output, sourceDir + "/cmd/tailscaled/"})
}
