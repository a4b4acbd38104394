package recipe

// inlinedInRuntime are the functions of Go's runtime that are inlined: small ones that each packet needs several times,
// when goroutines wait for each other and for the network. With inlining in the whole runtime, the image would be 26 kB
// larger on arm64.
var inlinedInRuntime = []string{
	"acquirem", "add", "assertLockHeld", "cleanupQueue.needsWake", "dropg", "getLockRank", "goready", "guintptr.cas",
	"guintptr.ptr", "guintptr.set", "key8", "lock", "lockWithRank", "lockWithRankMayAcquire", "maybeTraceableChan.get",
	"maybeTraceableChan.set", "maybeTraceablePtr.get", "maybeTraceablePtr.set", "mLockProfile.store", "memhash",
	"muintptr.set", "mutexSampleContention", "nanotime", "netpollcheckerr", "procPin", "procUnpin", "puintptr.ptr",
	"puintptr.set", "readgstatus", "releasem", "runqget", "setGNoWB", "setMNoWB", "timers.wakeTime", "traceAcquire",
	"traceEnabled", "traceLocker.ok", "traceRelease", "traceShuttingDown", "unlock", "unlockWithRank", "waitq.dequeue",
	"waitq.enqueue",
}

// inlineInRuntime returns the step that forbids the compiler to inline any other function of the runtime, in copies of its
// files that it adds to the overlay. The compiler can only be told to inline in a whole package or not at all. The line
// that forbids it takes the place of an empty one before the function, so that line numbers don't change. If a function
// with a name of the list is missing, the step says so.
func inlineInRuntime() []string {
	return shell(`overlay=$1
		notes=$2
		shift 2
		source=$(go env GOROOT)/src/runtime
		mkdir -p runtime/changed
		cd runtime
		go list -f '{{range .GoFiles}}{{$.Dir}}/{{.}} {{end}}' runtime | xargs cp --no-preserve=mode -t .
		tr , '\n' <"$overlay" | sed -n "s|.*\"$source/\([^/\"]*\)\": \"\([^\"]*\)\".*|\1 \2|p" >replaced
		while read -r file copy; do cp "$copy" "$file"; done <replaced
		awk -v "inlined=$*" '
			BEGIN { split(inlined, names, " "); for (i in names) missing[names[i]] }
			function finish() {
				for (i = 1; i <= count; i++) print line[i] >file
				close(file)
			}
			FNR == 1 { if (file) finish(); file = "changed/" FILENAME; empty = 0 }
			{ line[FNR] = $0; count = FNR }
			/^$/ { empty = FNR }
			/^func / {
				name = $0
				sub(/^func /, "", name)
				sub(/^\([^)]*[ *(]/, "", name) # receiver
				sub(/\) /, ".", name)
				sub(/[[(].*/, "", name)
				if (name in missing) found[name]
				else if (empty && /[{}]$/) line[empty] = "//go:noinline"
			}
			/^([a-z]|[)}])/ { empty = 0 }
			END {
				finish()
				for (name in missing) if (!(name in found)) print "the runtime has no function " name " to inline"
			}' ./*.go | sort | tee -a "$notes"
		while read -r file copy; do mv "changed/$file" "$copy"; done <replaced
		files=
		for file in changed/*; do files="$files, \"$source/${file#changed/}\": \"$PWD/$file\""; done
		sed -i "s|}}$|$files}}|" "$overlay"`,
		append([]string{overlay, NotesFile}, inlinedInRuntime...)...)
}
