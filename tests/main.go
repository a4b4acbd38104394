// Check the mikrotik-tailscale module from outside, with independent programs.
//
// Run all checks with: dagger check -m tests
package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dagger/tests/internal/dagger"

	"github.com/sourcegraph/conc/pool"
)

// Tests are the checks of the mikrotik-tailscale module.
type Tests struct{}

// kind describes a platform's image and programs.
type kind struct {
	name, platform, machine string
	// native is the output of uname -m on machines that run the programs. Elsewhere, emulator runs them.
	native   string
	emulator []string
}

var kinds = []kind{
	{"amd64", "linux/amd64", "Advanced Micro Devices X86-64", "x86_64", []string{"qemu-x86_64-static"}},
	{"arm64", "linux/arm64", "AArch64", "aarch64", []string{"qemu-aarch64-static"}},
	{"arm", "linux/arm/v7", "ARM", "", []string{"qemu-arm-static", "-cpu", "cortex-a7"}},
	{"armv5", "linux/arm/v5", "ARM", "", []string{"qemu-arm-static", "-cpu", "arm926"}},
}

// tools is a Debian system with some packages.
func tools(packages ...string) *dagger.Container {
	install := append([]string{"apt-get", "install", "-y", "-qq", "--no-install-recommends"}, packages...)
	return dag.Container().From("debian:trixie-slim").
		WithExec([]string{"apt-get", "update", "-qq"}).
		WithEnvVariable("DEBIAN_FRONTEND", "noninteractive").
		WithExec(install)
}

// run returns the output of a script.
func run(ctx context.Context, c *dagger.Container, script string, args ...string) (string, error) {
	return c.WithExec(append([]string{"sh", "-euc", script, "sh"}, args...)).Stdout(ctx)
}

// forEach calls work for all platforms at the same time.
func forEach(work func(kind) error) error {
	p := pool.New().WithErrors()
	for _, k := range kinds {
		p.Go(func() error {
			if err := work(k); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			return nil
		})
	}
	return p.Wait()
}

// Check that each tarball has one layer, the right platform and checksum.
//
// +check
func (m *Tests) Tarballs(ctx context.Context) error {
	c := tools("skopeo").WithMountedDirectory("/dist", dag.MikrotikTailscale().Tarballs()).WithWorkdir("/dist")
	if _, err := run(ctx, c, "sha256sum --check --strict SHA256SUMS"); err != nil {
		return err
	}
	return forEach(func(k kind) error {
		got, err := run(ctx, c, `skopeo inspect --config --format '{{.OS}}/{{.Architecture}}/{{.Variant}} {{len .RootFS.DiffIDs}}' "docker-archive:$1"`,
			"tailscale-"+k.name+".tar")
		if err != nil {
			return err
		}
		platform, layers, _ := strings.Cut(strings.TrimSpace(got), " ")
		if strings.TrimSuffix(platform, "/") != k.platform || layers != "1" {
			return fmt.Errorf("the image is for %s and has %s layers", platform, layers)
		}
		return nil
	})
}

// Check that all programs are static and for the platform's processor.
//
// +check
func (m *Tests) Programs(ctx context.Context) error {
	c := tools("binutils")
	return forEach(func(k kind) error {
		got, err := run(ctx, c.WithMountedDirectory("/rootfs", dag.MikrotikTailscale().Rootfs(k.name)), `
			for f in /rootfs/bin/busybox /rootfs/usr/local/bin/tailscaled; do
				readelf -h "$f" | sed -n 's/^ *Machine: *//p'
				if readelf -lW "$f" | grep -q INTERP; then echo "$f is not static"; fi
			done`)
		if err != nil {
			return err
		}
		if want := k.machine + "\n" + k.machine + "\n"; got != want {
			return fmt.Errorf("the programs are for\n%swant\n%s", got, want)
		}
		return nil
	})
}

// Check that rootfs has the permissions and times of the image.
//
// +check
func (m *Tests) Permissions(ctx context.Context) error {
	c := tools("coreutils")
	return forEach(func(k kind) error {
		got, err := run(ctx, c.WithMountedDirectory("/rootfs", dag.MikrotikTailscale().Rootfs(k.name)), `
			cd /rootfs
			stat -c '%a %Y %n' tmp root etc etc/passwd bin/busybox`)
		if err != nil {
			return err
		}
		if want := "1777 0 tmp\n700 0 root\n755 0 etc\n644 0 etc/passwd\n755 0 bin/busybox\n"; got != want {
			return fmt.Errorf("permissions and times are\n%swant\n%s", got, want)
		}
		return nil
	})
}

// Check that Tailscale and every command of the shell start.
//
// Programs for another processor run on an emulator, and are not packed, because the kernel starts an unpacked program without the emulator.
//
// +check
func (m *Tests) Starts(ctx context.Context) error {
	applets, err := dag.MikrotikTailscale().ListApplets(ctx)
	if err != nil {
		return err
	}
	c := tools("qemu-user-static")
	return forEach(func(k kind) error {
		plain := dag.MikrotikTailscale(dagger.MikrotikTailscaleOpts{Compression: dagger.MikrotikTailscaleCompressionNone}).Rootfs(k.name)
		got, err := run(ctx, c.WithMountedDirectory("/packed", dag.MikrotikTailscale().Rootfs(k.name)).WithMountedDirectory("/plain", plain), `
			applets=$1 native=$2 rootfs=/plain; shift 2
			if [ "$(uname -m)" = "$native" ]; then rootfs=/packed; set --; fi
			"$@" $rootfs/usr/local/bin/tailscaled --version | head -n 1 | grep -qx '[0-9.]*' || echo "tailscaled does not start"
			for a in $applets; do
				code=0
				"$@" $rootfs/bin/busybox "$a" --help </dev/null >/tmp/out 2>&1 || code=$?
				if [ $code -ge 126 ] || grep -q 'applet not found' /tmp/out; then echo "$a ends with $code"; fi
			done`, append([]string{strings.Join(applets, " "), k.native}, k.emulator...)...)
		if err != nil {
			return err
		}
		if got != "" {
			return fmt.Errorf("these programs don't start:\n%s", got)
		}
		return nil
	})
}

// Check that a second build from nothing gives the same bytes.
//
// It compares the tarball, the SBOM and the digest of the published image.
//
// +check
func (m *Tests) Reproducible(ctx context.Context) error {
	platforms := []string{"armv5"}
	var made [2]string
	for i, key := range []string{"", "another"} {
		module := dag.MikrotikTailscale(dagger.MikrotikTailscaleOpts{CacheKey: key})
		sums, err := module.Tarballs(dagger.MikrotikTailscaleTarballsOpts{Platforms: platforms}).File("SHA256SUMS").Contents(ctx)
		if err != nil {
			return err
		}
		reference, err := module.Publish(ctx, "registry.test/router/tailscale",
			dagger.MikrotikTailscalePublishOpts{Platforms: platforms, DryRun: true})
		if err != nil {
			return err
		}
		made[i] = sums + reference
	}
	if made[0] != made[1] {
		return fmt.Errorf("two builds produce\n%s\nand\n%s", made[0], made[1])
	}
	return nil
}

// Check that another program can read published images, by tag and platform.
//
// +check
func (m *Tests) Publishing(ctx context.Context) error {
	registry := dag.Container().From("registry:3").WithExposedPort(5000).AsService()
	reference, err := dag.MikrotikTailscale().Publish(ctx, "registry.test/router/tailscale",
		dagger.MikrotikTailscalePublishOpts{Tags: []string{"stable"}, Registry: registry})
	if err != nil {
		return err
	}
	_, digest, _ := strings.Cut(reference, "@")
	// The engine doesn't know that the registry's content changes, and would return what an earlier run has read.
	c := tools("skopeo").WithServiceBinding("registry", registry).WithEnvVariable("READ_AT", time.Now().String())
	return forEach(func(k kind) error {
		parts := append(strings.Split(k.platform, "/"), "")
		got, err := run(ctx, c, `
			from=docker://registry:5000/router/tailscale
			skopeo inspect --tls-verify=false --override-arch "$2" --override-variant "$3" --format '{{.Digest}}' "$from:stable"
			skopeo inspect --tls-verify=false --config --format '{{.Architecture}}/{{.Variant}}' --override-arch "$2" --override-variant "$3" "$from:stable"
			skopeo inspect --tls-verify=false --config --format '{{.Architecture}}/{{.Variant}}' "$from:stable-$1"`,
			k.name, parts[1], parts[2])
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%s\n%[2]s/%[3]s\n%[2]s/%[3]s\n", digest, parts[1], parts[2]); got != want {
			return fmt.Errorf("read back is\n%swant\n%s", got, want)
		}
		return nil
	})
}

// Check that wrong arguments are rejected with an error that names them.
//
// +check
func (m *Tests) WrongArguments(ctx context.Context) error {
	ours := func(o dagger.MikrotikTailscaleOpts) error {
		_, err := dag.MikrotikTailscale(o).ListApplets(ctx)
		return err
	}
	_, unknown := dag.MikrotikTailscale().Tarball("mips").Sync(ctx)
	p := pool.New().WithErrors()
	for want, err := range map[string]error{
		`unknown platform "mips"`:               unknown,
		`malformed Tailscale version "newest"`:  ours(dagger.MikrotikTailscaleOpts{TailscaleVersion: "newest"}),
		`unknown applet "frobnicate"`:           ours(dagger.MikrotikTailscaleOpts{AppletNames: []string{"ash", "frobnicate"}}),
		`malformed entrypoint "sh"`:             ours(dagger.MikrotikTailscaleOpts{Entrypoint: []string{"sh"}}),
		`malformed label "nothing"`:             ours(dagger.MikrotikTailscaleOpts{Labels: []string{"nothing"}}),
		`malformed Debian mirror "ftp://there"`: ours(dagger.MikrotikTailscaleOpts{DebianMirror: dag.SetSecret("mirror", "ftp://there")}),
	} {
		p.Go(func() error {
			if err == nil || !strings.Contains(err.Error(), want) {
				return fmt.Errorf("the error %v does not say %s", err, want)
			}
			return nil
		})
	}
	return p.Wait()
}
