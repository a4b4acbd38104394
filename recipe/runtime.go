package recipe

// smallSpanSets is the step that has Go's runtime begin small with its lists of memory spans. For each class of
// sizes there are several, and from their first span on each has room for a heap of a gigabyte: 6.5 kB on 64-bit
// machines, of which a handful of spans touches two pages. Together they are a third of what the daemon
// holds besides its program. Both numbers are only where the lists begin: they grow as they did.
//
// The toolchain stays as it is. The compiler reads the changed file in its place: see overlay.
func smallSpanSets() []string {
	return shell(`source=$(go env GOROOT)/src/runtime/mspanset.go
		sed -e 's/^\(\tspanSetBlockEntries = \)512 /\132 /' -e 's/^\(\tspanSetInitSpineCap = \)256 /\116 /' "$source" >mspanset.go
		changed=$(diff "$source" mspanset.go | grep -c '^>' || true)
		if [ "$changed" != 2 ]; then
			echo "the runtime of $(go env GOVERSION) begins its lists of spans in a way that is not known: have it as it is (stock runtime)" >&2
			exit 1
		fi
		printf '{"Replace": {"%s": "%s"}}\n' "$source" "$PWD/mspanset.go" >"$1"`, overlay)
}

// withOverlay begins a call of the go command that reads the overlay. The go command replaces no file in its module
// cache, and on an engine the toolchain may be there. So it gets the cache under another name.
func withOverlay() []string {
	return shell(`cache=$1
		shift
		ln -s "$GOMODCACHE" "$cache"
		toolchain=$(go env GOROOT)
		GOMODCACHE=$cache GOTOOLCHAIN=local exec "$toolchain/bin/go" "$@"`, BuildDir+"/modules")
}

// overlay is the file that tells the compiler which files of the toolchain are replaced.
const overlay = BuildDir + "/overlay.json"
