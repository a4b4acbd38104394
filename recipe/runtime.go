package recipe

// smallSpanSets returns the step that makes initial structures of Go's runtime smaller: the lists of memory spans.
// There are several lists for each size class, and after the first span each has room for a heap of a gigabyte: 6.5
// kB on 64-bit machines, of which a handful of spans uses two pages. Together they are a third of the daemon's memory
// besides its program. Both changed numbers are only initial sizes: the lists still grow as before.
//
// The toolchain itself doesn't change. The compiler reads the changed file instead of the original: see overlay.
func smallSpanSets() []string {
	return shell(`source=$(go env GOROOT)/src/runtime/mspanset.go
		sed -e 's/^\(\tspanSetBlockEntries = \)512 /\132 /' -e 's/^\(\tspanSetInitSpineCap = \)256 /\116 /' "$source" >mspanset.go
		changed=$(diff "$source" mspanset.go | grep -c '^>' || true)
		if [ "$changed" != 2 ]; then
			echo "the runtime of $(go env GOVERSION) has unknown lists of spans: build with the stock runtime" >&2
			exit 1
		fi
		printf '{"Replace": {"%s": "%s"}}\n' "$source" "$PWD/mspanset.go" >"$1"`, overlay)
}

// withOverlay begins a call of the go command that reads the overlay. The go command doesn't replace files in its
// module cache, and on an engine the toolchain may be there. So the module cache gets another name.
func withOverlay() []string {
	return shell(`cache=$1
		shift
		ln -s "$GOMODCACHE" "$cache"
		toolchain=$(go env GOROOT)
		GOMODCACHE=$cache GOTOOLCHAIN=local exec "$toolchain/bin/go" "$@"`, BuildDir+"/modules")
}

// overlay is the file that tells the compiler which files of the toolchain to replace.
const overlay = BuildDir + "/overlay.json"
