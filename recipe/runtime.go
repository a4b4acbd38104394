package recipe

import (
	"fmt"
	"slices"
	"strconv"

	"dagger/mikrotik-tailscale/shrink/pclntab"
)

// changedFile is a file of Go's library with changed lines.
type changedFile struct {
	path string
	// script is for sed.
	script string
	// differences is the number of lines that disappear, plus the number of lines that appear.
	differences int
}

// smallerLibrary makes Go's runtime and library take less memory.
//
// The first file has the lists of memory spans. There are several lists for each size class, and after the first span
// each has room for a heap of a gigabyte: 6.5 kB on 64-bit machines, of which a handful of spans uses two pages.
// Together they are a third of the daemon's memory besides its program. Both changed numbers are only initial sizes:
// the lists still grow as before.
//
// The second file sorts slices. The compiler makes a copy of the code for each type of element. Sorting with heapsort,
// which is otherwise Go's fallback for inputs on which quicksort is slow, leaves out four fifths of that code.
var smallerLibrary = []changedFile{
	{"runtime/mspanset.go", `s/^\(\tspanSetBlockEntries = \)512 /\132 /; s/^\(\tspanSetInitSpineCap = \)256 /\116 /`, 4},
	{"slices/sort.go", `s/^\tpdqsortOrdered(x, 0, n, .*/\theapSortOrdered(x, 0, n)/; s/^\tpdqsortCmpFunc(x, 0, n, .*/\theapSortCmpFunc(x, 0, n, cmp)/`, 4},
	lazyCertificates,
}

// lazyCertificates gives pools of certificates a method that adds a certificate without parsing and copying it. The
// daemon's file roots.go calls it for the built-in certificates.
var lazyCertificates = changedFile{"crypto/x509/cert_pool.go",
	`/^func (s \*CertPool) addCertFunc(rawSum224 sum224, rawSubject string, getCert func() (\*Certificate, error), /i\
func (s *CertPool) AddLazily(sum [28]byte, subject string, parse func() (*Certificate, error)) {\
	s.addCertFunc(sum, subject, parse, nil)\
}\

`, 4}

// shortRecords makes the runtime read the short records of package pclntab. Fields that the package clears disappear
// from the records, and their users get zeros instead. The number of pc tables becomes a byte, in an unused place. The
// offset of the name is a multiple of 32, and in the bits of the flags that are otherwise unused.
//
// The runtime checks the table's first word when it starts. So a program that isn't stripped stops at once.
var shortRecords = []changedFile{
	{"runtime/runtime2.go", `/^type _func struct {$/,/^}$/{
		/^\tnameOff \|^\tpcfile \|^\tpcln \|^\tnpcdata \|^\tcuOffset \|^\tstartLine /d
		s/^\t_         \[1\]byte \/\/ pad$/\tnpcdata   uint8/
	}`, 8},
	{"runtime/symtab.go", fmt.Sprintf(`s/hdr\.magic != abi\.CurrentPCLnTabMagic /hdr.magic != %#x /
		s/srcFunc{f\.datap, f\.nameOff, f\.startLine, /srcFunc{f.datap, int32(f.flag>>3)<<5, 0, /
		s/f\.datap\.funcName(f\.nameOff)/f.datap.funcName(int32(f.flag>>3)<<5)/
		s/cutab\[f\.cuOffset+/cutab[/
		s/pcvalue(f, f\.pc\(file\|ln\), /pcvalue(f, 0, /
		s/return fn\.funcInfo()\.startLine$/return 0/
		s/table >= f\.npcdata /table >= uint32(f.npcdata) /`, pclntab.ShortMagic), 20},
}

// changedFiles returns the changed files of Go's library, unless the configuration asks for the stock runtime.
func (p Plan) changedFiles() []changedFile {
	if p.hasShortRecords() {
		return slices.Concat(smallerLibrary, shortRecords)
	}
	return smallerLibrary
}

// hasShortRecords reports whether Tailscale's program only starts when its function table has short records.
func (p Plan) hasShortRecords() bool { return !p.Config.StockRuntime && !p.Config.KeepSymbols }

// changedGo returns the step that changes files of Go's library.
//
// The toolchain itself doesn't change. The compiler reads the changed files instead of the originals: see overlay.
func changedGo(files []changedFile) []string {
	var args []string
	for _, f := range files {
		args = append(args, f.path, f.script, strconv.Itoa(f.differences))
	}
	return shell(`overlay=$1
		shift
		source=$(go env GOROOT)/src
		files=
		while [ $# -gt 0 ]; do
			copy=$PWD/$(basename "$1")
			sed -e "$2" "$source/$1" >"$copy"
			differences=$(diff "$source/$1" "$copy" | grep -c '^[<>]' || true)
			if [ "$differences" != "$3" ]; then
				echo "$1 of $(go env GOVERSION) doesn't have the lines to change: build with the stock runtime" >&2
				exit 1
			fi
			files="$files${files:+, }\"$source/$1\": \"$copy\""
			shift 3
		done
		echo "{\"Replace\": {$files}}" >"$overlay"`, append([]string{overlay}, args...)...)
}

// withOverlay begins a call of the go command that reads the overlay. The go command doesn't replace files in its
// module cache, and on an engine the toolchain may be there. So the module cache gets another name.
func withOverlay() []string {
	return shell(`cache=$1
		shift
		ln -sfn "$GOMODCACHE" "$cache"
		toolchain=$(go env GOROOT)
		GOMODCACHE=$cache GOTOOLCHAIN=local exec "$toolchain/bin/go" "$@"`, BuildDir+"/modules")
}

// overlay is the file that tells the compiler which files of the toolchain to replace.
const overlay = BuildDir + "/overlay.json"
