package recipe

// uncalled are methods of generic types that nothing in Tailscale calls, whatever its features and platform. The compiler
// compiles all methods of such a type again in each package that reads a declaration with it, for each type argument, and
// the linker drops what it doesn't need. Without these methods, it takes an eighth less time to compile Tailscale.
//
// Only types that many packages read are listed. The paths are relative to BuildDir.
var uncalled = []struct{ file, typ, methods string }{
	{bartDir + "/bart.go", "Table", "Contains LookupPrefix Modify"},
	{bartDir + "/bartmethodsgenerated.go", "Table", `All4 All6 AllSorted AllSorted4 AllSorted6 ModifyPersist Overlaps
		Overlaps4 Overlaps6 OverlapsPrefix Size4 Size6 Subnets Supernets Union UnionPersist dump dumpString`},
	{bartDir + "/lite.go", "liteTable", "Lookup LookupPrefix LookupPrefixLPM"},
	{bartDir + "/litemethodsgenerated.go", "liteTable", "OverlapsPrefix Size4 Size6 dump dumpString"},
	{bartDir + "/internal/nodes/bart.go", "BartNode", "Contains Lookup"},
	{bartDir + "/internal/nodes/bartmethodsgenerated.go", "BartNode", `AllRecSorted DumpRec DumpString EachLookupPrefix
		EachSubnet Modify Overlaps OverlapsChildrenIn OverlapsIdx OverlapsPrefixAtDepth OverlapsRoutes OverlapsSameChildren
		OverlapsTwoChildren Stats StatsRec Subnets Supernets UnionRec UnionRecPersist dump handleMatrix handleMatrixPersist hasType`},
	{bartDir + "/internal/nodes/lite.go", "LiteNode", "Lookup"},
	{bartDir + "/internal/nodes/litemethodsgenerated.go", "LiteNode", "DumpRec DumpString Stats StatsRec dump hasType"},
	{sourceDir + "/types/views/views.go", "ByteSlice", "EqualView IsNil MapKey Mem Slice SliceFrom SliceTo"},
	{sourceDir + "/types/views/views.go", "Map", "AsMap Contains Has"},
	{sourceDir + "/types/views/views.go", "Slice", "IndexFunc MapKey MaxFunc MinFunc Slice SliceTo"},
	{sourceDir + "/types/views/views.go", "SliceView", "AppendTo AsSlice MapKey Slice SliceFrom SliceTo"},
	{sourceDir + "/types/views/views.go", "ValuePointer", "GetOr"},
	{sourceDir + "/util/set/set.go", "Set", "AddSeq AddSet DeleteSeq DeleteSet DeleteSlice"},
}

// bartDir is the directory of the copy of Tailscale's routing table in a stage, relative to BuildDir.
const bartDir = "bart"

// whole ends the names of the files that still have all methods.
const whole = ".whole"

// leaveOutUncalled adds the step that leaves out the methods that nothing calls. A line of theirs becomes an empty one, so
// that a crash has upstream's line numbers. An import that only they need becomes a blank one.
func leaveOutUncalled(s *Stage) {
	args := []string{whole}
	for _, u := range uncalled {
		args = append(args, u.file, u.typ, u.methods)
	}
	s.Steps = append(s.Steps, shell(`
		whole=$1
		shift
		while [ $# -gt 0 ]; do
			if [ -e "$1" ]; then
				[ -e "$1$whole" ] || cp "$1" "$1$whole"
				awk -v "type=$2" -v "methods=$3" '
					BEGIN { split(methods, names, " "); for (i in names) out[names[i]] }
					function uses(code, name) { return code ~ "(^|[^A-Za-z0-9_.])" name "[.]" }
					{ line[NR] = $0 }
					/^func \(/ {
						receiver = $0
						sub(/^func \([^ ]* \*?/, "", receiver)
						name = receiver
						sub(/\[.*/, "", receiver)
						sub(/^[^)]*\) /, "", name)
						sub(/[[(].*/, "", name)
						inside = receiver == type && name in out
					}
					inside {
						cut = cut $0 "\n"
						line[NR] = ""
						if (/^}/ || /^func .*}$/) inside = 0
						next
					}
					/^\t([a-z0-9]+ )?"[^"]*"$/ {
						name = $1
						gsub(/.*\/|"/, "", name)
						imported[NR] = name
						next
					}
					!/^[ \t]*\/\// { kept = kept $0 "\n" }
					END {
						for (i in imported)
							if (uses(cut, imported[i]) && !uses(kept, imported[i])) sub(/^\t([a-z0-9]+ )?/, "\t_ ", line[i])
						for (i = 1; i <= NR; i++) print line[i]
					}' "$1" >changed
				cp changed "$1"
			fi
			shift 3
		done`, args...))
}

// withoutUncalled begins the call of the go command that compiles Tailscale. If the release calls a method that is left
// out, it says so and compiles Tailscale with all methods.
func withoutUncalled() []string {
	return shell(`whole=$1
		notes=$2
		shift 2
		"$@" 2>messages && exit
		cat messages >&2
		grep -q -e 'no field or method' -e 'missing method' -e 'imported and not used' messages || exit 1
		echo "this release calls methods that are otherwise left out, so it is compiled with all of them" | tee -a "$notes"
		find . -name "*$whole" | while read -r file; do mv "$file" "${file%"$whole"}"; done
		exec "$@"`, whole, NotesFile)
}
