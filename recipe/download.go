package recipe

// download returns the step that downloads a release's source and verifies its sha256. It tries the address in the
// environment variable, or the release's own site if that is not set. The fallback is the pool of the Debian mirror,
// or of the archive that packages come from and of Debian's own. Its output contains no user names or passwords.
func download(file, release, checksum, variable, own, pool string) []string {
	// apt's own downloader verifies the checksum.
	return shell(`
		sum=$1 file=$2 release=$3 variable=$4 first=$5 pool=$6
		set -f # an address may contain a ?
		if [ -n "$variable" ]; then
			first=$(printenv "$variable" || echo "$first")
		fi
		# shellcheck disable=SC2086 # the release's own places can be several
		set -- $first
		own=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
		for archive in ${`+DebianMirrorVariable+`:-$own `+DebianArchive+`}; do
			set -- "$@" "${archive%/}/$pool"
		done
		for url; do
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
