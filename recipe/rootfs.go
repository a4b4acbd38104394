package recipe

import (
	"cmp"
	"slices"
)

// Entry is one path of the image's root filesystem: a stage's output, a text, a symbolic link, or otherwise an empty
// directory.
type Entry struct {
	// Path has no leading slash.
	Path string
	// Stage is the stage whose output is the file.
	Stage *Stage
	// Linked is the stage that linked the program that Stage has packed, because less can be checked in a packed
	// program.
	Linked *Stage
	// Text is the file's content.
	Text string
	// Link is the target of a symbolic link.
	Link string
	// Executable is true for programs.
	Executable bool
}

// Component returns the part of the image that an entry belongs to: the name of the stage that built or linked it, or
// BaseFiles.
func (e Entry) Component() string {
	if e.Linked != nil {
		return e.Linked.Name
	}
	if e.Stage != nil {
		return e.Stage.Name
	}
	return BaseFiles
}

// BaseFiles is the component of entries that are not the output of a stage.
const BaseFiles = "base files"

// The paths in the image. The daemon's paths are the same as in the official image.
const (
	binaryPath      = "usr/local/bin/tailscaled"
	stateDir        = "/var/lib/tailscale"
	certificatePath = "etc/ssl/certs/ca-certificates.crt"
	searchPath      = "/usr/local/bin:/bin"
)

// Entries returns the image's root filesystem, sorted by path. Links to busybox come from the applet list, not from
// running the binary.
func (p Plan) Entries() []Entry {
	t, c := p.Target, p.Config
	tailscale, busybox, stripped := p.Tailscale(), Busybox(t, c), p.Stripped()
	packedTailscale, packedBusybox := Compress(t, c, &stripped), PackedBusybox(t, c)
	entries := []Entry{
		{Path: binaryPath, Stage: &packedTailscale, Linked: &tailscale, Executable: true},
		{Path: "usr/local/bin/tailscale", Link: "tailscaled"},
		{Path: entrypointPath, Text: script(entrypointScript), Executable: true},
		{Path: healthcheckPath, Text: script(healthcheckScript), Executable: true},
		{Path: "bin/busybox", Stage: &packedBusybox, Linked: &busybox, Executable: true},
		{Path: "etc/passwd", Text: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
		{Path: "etc/group", Text: "root:x:0:\nnogroup:x:65534:\n"},
		// If the root filesystem is read-only, a single file system in memory, at /run, is sufficient.
		{Path: "var/run", Link: "../run"},
	}
	if c.Certificates == CertificatesFile {
		certificates := Certificates()
		entries = append(entries, Entry{Path: certificatePath, Stage: &certificates})
	}
	for _, applet := range c.Applets.Names() {
		entries = append(entries, Entry{Path: "bin/" + applet, Link: "busybox"})
	}
	for _, dir := range []string{"dev", "proc", "root", "run", "sys", "tmp", stateDir[1:]} {
		entries = append(entries, Entry{Path: dir})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return entries
}
