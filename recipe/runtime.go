package recipe

// smallerGo returns the step that makes Go's runtime and library take less memory, with two changed lines in each of two
// files.
//
// The first file has the lists of memory spans. There are several lists for each size class, and after the first span
// each has room for a heap of a gigabyte: 6.5 kB on 64-bit machines, of which a handful of spans uses two pages.
// Together they are a third of the daemon's memory besides its program. Both changed numbers are only initial sizes:
// the lists still grow as before.
//
// The second file sorts slices. The compiler makes a copy of the code for each type of element. Sorting with heapsort,
// which is otherwise Go's fallback for inputs on which quicksort is slow, leaves out four fifths of that code.
//
// The toolchain itself doesn't change. The compiler reads the changed files instead of the originals: see overlay.
func smallerGo() []string {
	return shell(`overlay=$1
		shift
		source=$(go env GOROOT)/src
		files=
		while [ $# -gt 0 ]; do
			copy=$PWD/$(basename "$1")
			sed -e "$2" -e "$3" "$source/$1" >"$copy"
			changed=$(diff "$source/$1" "$copy" | grep -c '^>' || true)
			if [ "$changed" != 2 ]; then
				echo "$1 of $(go env GOVERSION) doesn't have the lines to change: build with the stock runtime" >&2
				exit 1
			fi
			files="$files${files:+, }\"$source/$1\": \"$copy\""
			shift 3
		done
		echo "{\"Replace\": {$files}}" >"$overlay"`,
		overlay,
		"runtime/mspanset.go", `s/^\(\tspanSetBlockEntries = \)512 /\132 /`, `s/^\(\tspanSetInitSpineCap = \)256 /\116 /`,
		"slices/sort.go", `s/^\tpdqsortOrdered(x, 0, n, .*/\theapSortOrdered(x, 0, n)/`, `s/^\tpdqsortCmpFunc(x, 0, n, .*/\theapSortCmpFunc(x, 0, n, cmp)/`)
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
