package main

import (
	"strings"

	"dagger/mikrotik-tailscale/recipe"
)

// installPackages is the step that makes a container one of the Debian release alone, without its updates, as every
// stage expects it, and installs a stage's packages. Packages come from the mirror in the environment, or from the
// archive that the image knows.
func installPackages(names []string) []string {
	return []string{"sh", "-euc", installScript, "sh", recipe.DebianSuite, strings.Join(names, " ")}
}

// installScript is what a shell runs for installPackages.
//
// The image may have updates of the release, such as a newer libc6, which libc6-dev does not go with. So the
// release has the highest priority, at which apt downgrades too, and everything becomes the release's.
const installScript = `
suite=$1 packages=$2
mirror=${` + recipe.DebianMirrorVariable + `:-}
archive=$mirror
if [ -z "$archive" ]; then
	archive=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
fi
if [ -z "$archive" ]; then
	archive=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
fi
rm -f /etc/apt/sources.list.d/* /etc/apt/preferences.d/* /etc/apt/apt.conf.d/docker-clean
printf 'Package: *\nPin: release n=%s\nPin-Priority: 1001\n' "$suite" >/etc/apt/preferences.d/release
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" >/etc/apt/sources.list
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq -o Acquire::Retries=1 --error-on=any
install="-y -qq --no-install-recommends --allow-downgrades -o APT::Keep-Downloaded-Packages=true"
apt-get dist-upgrade $install
apt-get install $install $packages
if [ -n "$mirror" ]; then
	rm /etc/apt/sources.list # the layer is kept, and the address may hold a password
fi`
