package pclntab

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"
)

// thisProgram returns the test program itself, which has thousands of functions, many with inlined calls.
func thisProgram(t *testing.T) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func functionsOf(t *testing.T, content []byte) (*program, []function) {
	t.Helper()
	p, err := parse(content)
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.allFunctions()
	if err != nil {
		t.Fatal(err)
	}
	return p, all
}

func nameOf(t *testing.T, p *program, place uint32) string {
	t.Helper()
	name, err := p.text(p.names, place)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Strip keeps what the runtime needs of each function, and removes the rest.
func TestStripKeepsWhatTheRuntimeNeeds(t *testing.T) {
	before := thisProgram(t)
	after := slices.Clone(before)
	if err := Strip(after); err != nil {
		t.Fatal(err)
	}
	old, oldAll := functionsOf(t, before)
	now, nowAll := functionsOf(t, after)
	if len(oldAll) != len(nowAll) || len(oldAll) < 1000 {
		t.Fatalf("%d functions became %d", len(oldAll), len(nowAll))
	}
	kept, inlined := 0, 0
	for i := range oldAll {
		f, g := &oldAll[i], &nowAll[i]
		name := nameOf(t, old, f.number(nameOffset))
		if got, want := nameOf(t, now, g.number(nameOffset)), shortName(name); got != want {
			t.Errorf("the name of %s is now %q, want %q", name, got, want)
		}
		for _, offset := range []int{pcfileOffset, pclnOffset, unitOffset, lineOffset} {
			if v := g.number(offset); v != 0 {
				t.Errorf("%s still has %#x at offset %d", name, v, offset)
			}
			// The rest must be equal.
			f.setNumber(offset, 0)
		}
		if !bytes.Equal(tableOf(t, old, f.number(pcspOffset)), tableOf(t, now, g.number(pcspOffset))) {
			t.Errorf("the frame sizes of %s differ", name)
		}
		for kind := range f.tables {
			want := tableOf(t, old, f.table(kind))
			if kind == argumentIndex || kind == inlineTreeIndex && isRuntime(name) {
				want = nil
			}
			if !bytes.Equal(tableOf(t, now, g.table(kind)), want) {
				t.Errorf("pc table %d of %s differs", kind, name)
			}
			kept++
		}
		for kind, place := range f.data {
			got := noData
			if kind < len(g.data) {
				got = g.data[kind]
			}
			want := place
			if kind == argumentInfo || kind == argumentsLiveInfo || kind == inlineTree && isRuntime(name) {
				want = noData
			}
			if got != want {
				t.Errorf("data %d of %s is at %#x, want %#x", kind, name, got, want)
			}
		}
		inlined += compareInlined(t, old, now, f, g)
		for _, offset := range []int{nameOffset, pcspOffset, tablesOffset} {
			f.setNumber(offset, 0)
			g.setNumber(offset, 0)
		}
		f.fixed[dataOffset], g.fixed[dataOffset] = 0, 0
		if f.entry != g.entry || f.fixed != g.fixed {
			t.Errorf("the record of %s differs:\n% x\n% x", name, f.fixed, g.fixed)
		}
	}
	if kept < 1000 || inlined < 1000 {
		t.Errorf("only %d tables and %d inlined calls were compared", kept, inlined)
	}
	for _, part := range []span{now.units, now.files} {
		if !zeros(after[part.begin:part.end]) {
			t.Error("the file table is not empty")
		}
	}
	for what, part := range map[string]span{"names": now.names, "pc tables": now.pcTables, "records": now.records} {
		if end := after[part.begin+(part.end-part.begin)*9/10 : part.end]; !zeros(end) {
			t.Errorf("the %s have not become smaller", what)
		}
	}
}

// Short records have everything that Strip keeps in records, and nothing else changes.
func TestShortRecords(t *testing.T) {
	long := thisProgram(t)
	short := slices.Clone(long)
	if err := errors.Join(Strip(long), StripShort(short)); err != nil {
		t.Fatal(err)
	}
	p, all := functionsOf(t, long)
	var names []string
	for number := range 32 {
		name, _, _ := bytes.Cut(short[p.names.begin+32*number:], []byte{0})
		names = append(names, string(name))
	}
	q := *p
	q.content = short
	table := short[p.records.begin:p.records.end]
	at := 8*len(all) + 4
	for i, f := range all {
		if begin, place := le.Uint32(table[8*i:]), le.Uint32(table[8*i+4:]); begin != f.entry || place != uint32(at) {
			t.Fatalf("function %d begins at %#x and has its record at %d; want %#x and %d", i, begin, place, f.entry, at)
		}
		number := byte(slices.Index(names, nameOf(t, p, f.number(nameOffset))))
		want := slices.Concat(f.fixed[:4], f.fixed[8:20], []byte{f.fixed[40], f.fixed[41] | number<<3, byte(len(f.tables)), byte(len(f.data))})
		for _, v := range append(f.tables, f.data...) {
			want = le.AppendUint32(want, v)
		}
		if got := table[at:][:len(want)]; !bytes.Equal(got, want) {
			t.Fatalf("the record of function %d is % x, want % x", i, got, want)
		}
		at += len(want)
		compareInlined(t, p, &q, &f, &f)
	}
	if before := lastByte(long[p.records.begin:p.records.end]); lastByte(table) >= at || before < at+24*len(all) {
		t.Errorf("the records end at %d, and as short ones at %d, after %d functions", before, at, len(all))
	}
	if le.Uint32(short[p.table:]) != ShortMagic {
		t.Error("the table has the mark of long records")
	}
	copy(short[p.table:][:4], long[p.table:])
	copy(table, long[p.records.begin:])
	copy(short[p.names.begin:p.names.end], long[p.names.begin:])
	copy(short[p.data:p.dataEnd], long[p.data:])
	if !bytes.Equal(short, long) {
		t.Error("something else differs")
	}
}

// lastByte returns where the last byte is that isn't zero.
func lastByte(b []byte) int { return len(bytes.TrimRight(b, "\x00")) - 1 }

// A program with short records is refused: it is already stripped.
func TestShortRecordsAreRefused(t *testing.T) {
	content := thisProgram(t)
	if err := StripShort(content); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(content)
	_, err := Symbols(content)
	for _, err := range []error{err, Strip(content), StripShort(content)} {
		if !errors.Is(err, errStripped) {
			t.Errorf("error = %v, want %v", err, errStripped)
		}
	}
	if !bytes.Equal(content, before) {
		t.Error("the program has changed")
	}
}

func tableOf(t *testing.T, p *program, place uint32) []byte {
	t.Helper()
	if place == 0 {
		return nil
	}
	table, err := p.pcTable(place)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// compareInlined compares the calls that were inlined into a function, and returns their number.
func compareInlined(t *testing.T, old, now *program, f, g *function) int {
	t.Helper()
	begin, size, err := old.inlineTree(f)
	if err != nil {
		t.Fatal(err)
	}
	if isRuntime(nameOf(t, old, f.number(nameOffset))) {
		if !zeros(now.content[now.data+begin : now.data+begin+size]) {
			t.Errorf("calls that were inlined into the runtime's functions are still there")
		}
		return 0
	}
	if b, s, err := now.inlineTree(g); err != nil || b != begin || s != size {
		t.Fatalf("the inlined calls are at %#x (%d bytes), want %#x (%d bytes): %v", b, s, begin, size, err)
	}
	for at := begin; at < begin+size; at += inlinedSize {
		a, b := slices.Clone(old.content[old.data+at:][:inlinedSize]), slices.Clone(now.content[now.data+at:][:inlinedSize])
		was, is := nameOf(t, old, le.Uint32(a[inlinedNameOffset:])), nameOf(t, now, le.Uint32(b[inlinedNameOffset:]))
		if is != shortName(was) {
			t.Errorf("the name of the inlined %s is now %q", was, is)
		}
		if le.Uint32(b[inlinedLineOffset:]) != 0 {
			t.Errorf("the inlined %s still has a line", was)
		}
		for _, offset := range []int{inlinedNameOffset, inlinedLineOffset} {
			le.PutUint32(a[offset:], 0)
			le.PutUint32(b[offset:], 0)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("the inlined %s differs: % x, was % x", was, b, a)
		}
	}
	return size / inlinedSize
}

// A shortened name must keep the part that the runtime compares.
func TestShortNames(t *testing.T) {
	for name, want := range map[string]string{
		"runtime.gopanic":                   "runtime.gopanic",
		"reflect.makeFuncStub":              "reflect.makeFuncStub",
		"reflect.methodValueCall":           "reflect.methodValueCall",
		"runtime.mallocgc":                  "runtime.",
		"runtime.(*mheap).alloc":            "runtime.",
		"internal/runtime/maps.NewMap":      "internal/runtime/",
		"internal/runtime/atomic.Load":      "internal/runtime/atomic.",
		"reflect.Value.Call":                "reflect.",
		"runtime/debug.Stack":               unknownName,
		"main.main":                         unknownName,
		"main.(*T).M":                       unknownName,
		"memeqbody":                         unknownRoutine,
		"tailscale.com/net/dns.(*R).Lookup": unknownName,
	} {
		if got := shortName(name); got != want {
			t.Errorf("shortName(%s) = %q, want %q", name, got, want)
		}
		if got := shortName(want); got != want {
			t.Errorf("shortName(%q) = %q, want it unchanged", want, got)
		}
	}
}

// Stripping a stripped program changes nothing.
func TestStrippingTwiceChangesNothingMore(t *testing.T) {
	content := thisProgram(t)
	if err := Strip(content); err != nil {
		t.Fatal(err)
	}
	once := slices.Clone(content)
	if err := Strip(content); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content, once) {
		t.Error("the second run has changed something")
	}
}

// The description of arguments is cleared in the file, except where other data shares it: no function refers to it any more.
func TestStripClearsTheDataOfArguments(t *testing.T) {
	before := thisProgram(t)
	after := slices.Clone(before)
	if err := Strip(after); err != nil {
		t.Fatal(err)
	}
	p, all := functionsOf(t, before)
	shared := map[uint32]bool{}
	for _, f := range all {
		for kind, at := range f.data {
			if kind != argumentInfo && kind != argumentsLiveInfo {
				shared[at] = true
			}
		}
	}
	cleared := 0
	for _, f := range all {
		if len(f.data) <= argumentInfo || f.data[argumentInfo] == noData || shared[f.data[argumentInfo]] {
			continue
		}
		at := p.data + int(f.data[argumentInfo])
		end := at + 1
		for k := at; before[k] != 0xff; end = k + 1 {
			if before[k] < 0xf0 { // an offset, and a size
				k++
			}
			k++
		}
		if left := bytes.Trim(after[at:end], "\x00"); len(left) > 0 {
			t.Fatalf("the arguments of a function are described by %x, and still by %x", before[at:end], left)
		}
		cleared++
	}
	if cleared < 500 {
		t.Errorf("only %d descriptions were found", cleared)
	}
}
