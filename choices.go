package main

// AppletSet is a curated list of the shell's commands.
type AppletSet string

const (
	// Commands for finding problems on a router.
	Default AppletSet = "default"
	// Only the commands that the image's own scripts need.
	Minimal AppletSet = "minimal"
)

// Compression is how the image's binaries are packed.
type Compression string

const (
	// Unpacks into memory once. The smallest.
	Launcher Compression = "launcher"
	// Unpacks at every start.
	UPX Compression = "upx"
	// Not packed: more than five times the size.
	None Compression = "none"
)

// Certificates is where the image's CA certificates are.
type Certificates string

const (
	// Part of the Tailscale binary, unless there are some in /etc/ssl/certs.
	BuiltIn Certificates = "built-in"
	// A file, also for other programs, at three times the size.
	File Certificates = "file"
)

// Root is where a router keeps the image.
type Root string

const (
	// On the disk that the option disk names.
	Disk Root = "disk"
	// In memory. Only the state is on the disk.
	Memory Root = "memory"
)

// Script is a kind of files for a router.
type Script string

const (
	// Scripts that install, update, remove and diagnose the container.
	Scripts Script = "scripts"
	// An app for RouterOS's /app.
	App Script = "app"
)

// Registry is a kind of registry, which decides how a router asks it for an image's digest.
type Registry string

const (
	// Decide by the image's host.
	Auto Registry = "auto"
	// With a user name and password, or without.
	Plain Registry = "plain"
	// Docker Hub.
	Dockerhub Registry = "dockerhub"
	// GitHub's registry.
	Ghcr Registry = "ghcr"
	// Gitea or Forgejo, such as Codeberg.
	Gitea Registry = "gitea"
	// GitLab.
	Gitlab Registry = "gitlab"
)
