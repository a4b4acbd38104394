package recipe

import (
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// compilerPackages are installed wherever C is compiled for a target, the same for every such
// stage, so that they share one root file system.
func compilerPackages(t platform.Target) []string {
	return []string{
		"bzip2", "gcc", "libc6-dev", "make", // gcc and libc6-dev are for the build's own tools
		"gcc-" + strings.ReplaceAll(t.Triple, "_", "-"),
		"linux-libc-dev-" + t.Debian + "-cross",
	}
}

// download is the step that gets a release's source and checks its sha256: from its own place where
// there is one, and from the Debian archive, whose pool is the second place.
func download(file, release, checksum, first, pool string) []string {
	// apt's own downloader checks the sum, and knows the Debian mirror in use.
	return shell(`
		sum=$1 file=$2 release=$3 first=$4 pool=$5
		archive=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
		for url in $first "$archive/$pool"; do
			/usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=1 \
				-o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
				download-file "$url" "$file" "SHA256:$sum" && exit 0
			rm -f "$file"
			tried="${tried:+$tried or }$url"
		done
		echo "$release with the sha256 $sum is not to be had from $tried" >&2
		exit 1`,
		checksum, file, release, first, pool)
}
