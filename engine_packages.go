package main

import (
	"strings"

	"dagger/mikrotik-tailscale/recipe"
)

// installPackages returns the step that installs a stage's Debian packages. It also sets every package of the container
// to the release's version. Packages come from the mirror in the environment, or from the snapshot, or from the archive
// that the image is configured for if the snapshot can't be reached. If packages were installed in the container before,
// the archive is the same.
func installPackages(p recipe.Packages) []string {
	return []string{"sh", "-euc", installScript, "sh", recipe.DebianSuite, recipe.SnapshotArchive,
		recipe.OriginMirror, recipe.OriginSnapshot, recipe.OriginArchive, strings.Join(p.Names, " "), strings.Join(recipe.UnusedFiles, " ")}
}

// installScript is the shell script of installPackages.
//
// The image may contain updates of the release, for example a newer libc6 that libc6-dev doesn't work with. So the
// release has the highest priority, with which apt also downgrades, and every package becomes the release's.
const installScript = `
suite=$1 snapshot=$2 from_mirror=$3 from_snapshot=$4 from_archive=$5 packages=$6 unused=$7
mirror=${` + recipe.DebianMirrorVariable + `:-}
archive=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
if [ -z "$archive" ]; then
	archive=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
fi
rm -f /etc/apt/sources.list.d/* /etc/apt/preferences.d/* /etc/apt/apt.conf.d/docker-clean
printf 'Package: *\nPin: release n=%s\nPin-Priority: 1001\n' "$suite" >/etc/apt/preferences.d/release
keys=/usr/share/keyrings/debian-archive-keyring.gpg

# use OPTIONS ADDRESS ORIGIN reads the package lists of an archive.
use() {
	echo "deb [signed-by=$keys $1] $2 $suite main" >/etc/apt/sources.list
	apt-get update -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=30 --error-on=any && echo "$3" >` + recipe.OriginFile + `
}

if [ -n "$mirror" ]; then
	use "" "$mirror" "$from_mirror"
elif [ -e ` + recipe.OriginFile + ` ]; then # other packages were installed before, from the same archive
	apt-get update -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=30 --error-on=any
else
	use check-valid-until=no "$snapshot" "$from_snapshot" || use "" "${archive:-` + recipe.DebianArchive + `}" "$from_archive"
fi
set -f
printf 'path-exclude=%s\n' $unused >/etc/dpkg/dpkg.cfg.d/unused
export DEBIAN_FRONTEND=noninteractive
install="-y -qq --no-install-recommends --allow-downgrades -o APT::Keep-Downloaded-Packages=true"
apt-get dist-upgrade $install
apt-get install $install $packages
if [ -n "$mirror" ]; then
	rm /etc/apt/sources.list # the layer is kept, and the address may hold a password
fi`
