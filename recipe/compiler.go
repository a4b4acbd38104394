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

// download is the step that gets a release's source and checks its sha256. It tries the address in the environment
// variable, or the release's own place if that is not set, and then the pool of the Debian archive. What it prints
// has no user names and passwords in it.
func download(file, release, checksum, variable, own, pool string) []string {
	// apt's own downloader checks the sum, and knows the Debian mirror in use.
	return shell(`
		sum=$1 file=$2 release=$3 variable=$4 first=$5 pool=$6
		set -f # an address may have a ? in it
		if [ -n "$variable" ]; then
			first=$(printenv "$variable" || echo "$first")
		fi
		archive=${`+DebianMirrorVariable+`:-$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)}
		for url in $first "${archive%/}/$pool"; do
			/usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=1 \
				-o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
				download-file "$url" "$file" "SHA256:$sum" >log 2>&1 && rm log && exit 0
			rm -f "$file"
			sed 's,//[^/]*@,//,g' log >&2
			tried="${tried:+$tried or }$(echo "$url" | sed 's,//[^/]*@,//,; s,?.*,,')"
		done
		echo "$release with the sha256 $sum could not be downloaded from $tried" >&2
		exit 1`,
		checksum, file, release, variable, own, pool)
}
