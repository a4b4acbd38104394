package pclntab

import (
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

// symbolsMagic is the first line of a symbols file, after decompression.
const symbolsMagic = "symbols of a Go program, format 1\n"

// symbolsHeader is the second line of a symbols file, as JSON. The parts of the program's function table follow, as
// the linker wrote them: names, compilation units, files, pc tables, records, the functions' data and the starts of
// goroutines. Bytes that no symbol needs are zero.
type symbolsHeader struct {
	// Program, Version, Go, Platform and BuildID identify the program.
	Program  string `json:"program"`
	Version  string `json:"version,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	BuildID  string `json:"buildID,omitempty"`

	PointerSize int    `json:"pointerSize"`
	Quantum     int    `json:"quantum"`
	TextStart   uint64 `json:"textStart"`
	Functions   int    `json:"functions"`
	// Sizes are the sizes of the parts, in their order.
	Sizes [7]int `json:"sizes"`
}

func (h symbolsHeader) String() string {
	s := strings.TrimSpace(h.Program + " " + h.Version)
	s += " for " + h.Platform + " by " + h.Go
	if h.BuildID != "" {
		s += ", build ID " + h.BuildID
	}
	return s
}

// Symbols returns the symbols file of a linked program: everything that Strip removes and Symbolize needs. The same
// program always has the same symbols. Symbols returns an error for a stripped program, and for any program that
// Strip refuses.
func Symbols(content []byte) ([]byte, error) {
	p, err := parse(content)
	if err != nil {
		return nil, err
	}
	all, err := p.allFunctions()
	if err != nil {
		return nil, fmt.Errorf("reading the functions: %w", err)
	}
	if !slices.ContainsFunc(all, func(f function) bool { return f.number(pclnOffset) != 0 }) {
		return nil, errStripped
	}
	tables, data, err := p.onlySymbols(all)
	if err != nil {
		return nil, err
	}
	starts, err := p.goroutineStarts(all)
	if err != nil {
		return nil, fmt.Errorf("finding where goroutines are started: %w", err)
	}
	h := symbolsHeader{Go: p.goVersion, PointerSize: p.ptrSize, Quantum: p.quantum, TextStart: p.textStart, Functions: p.functions}
	if err := h.describe(content); err != nil {
		return nil, err
	}
	part := func(s span) []byte { return content[s.begin:s.end] }
	parts := [][]byte{part(p.names), part(p.units), part(p.files), tables, part(p.records), data, starts}
	for i, part := range parts {
		h.Sizes[i] = len(part)
	}
	return h.file(parts)
}

// describe fills in the fields that identify the program.
func (h *symbolsHeader) describe(content []byte) error {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return err
	}
	h.Program, h.Version = info.Path, info.Main.Version
	setting := func(key string) string {
		i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == key })
		if i < 0 {
			return ""
		}
		return info.Settings[i].Value
	}
	h.Platform = setting("GOOS") + "/" + setting("GOARCH")
	if arm := setting("GOARM"); arm != "" {
		h.Platform += "/v" + arm
	}
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return err
	}
	if s := file.Section(".note.go.buildid"); s != nil {
		const noteHeader = 16 // three numbers and "Go", padded
		if note, err := s.Data(); err == nil && len(note) > noteHeader {
			h.BuildID = strings.TrimRight(string(note[noteHeader:]), "\x00")
		}
	}
	return nil
}

func (h *symbolsHeader) file(parts [][]byte) ([]byte, error) {
	var out bytes.Buffer
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	for _, b := range append([][]byte{[]byte(symbolsMagic), line, {'\n'}}, parts...) {
		if _, err := z.Write(b); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// onlySymbols returns the pc tables and the functions' data, with zeros instead of everything that isn't about files,
// lines or inlined calls.
func (p *program) onlySymbols(all []function) (tables, data []byte, err error) {
	tables = make([]byte, p.pcTables.end-p.pcTables.begin)
	end := 0
	keptData := make([]byte, p.dataEnd-p.data)
	for i := range all {
		f := &all[i]
		for _, place := range []uint32{f.number(pcfileOffset), f.number(pclnOffset), f.table(inlineTreeIndex)} {
			if place == 0 {
				continue
			}
			t, err := p.pcTable(place)
			if err != nil {
				return nil, nil, fmt.Errorf("function %d: %w", i, err)
			}
			copy(tables[place:], t)
		}
		begin, size, err := p.inlineTree(f)
		if err != nil {
			return nil, nil, fmt.Errorf("the inlined calls of function %d: %w", i, err)
		}
		copy(keptData[begin:], p.content[p.data+begin:p.data+begin+size])
		end = max(end, begin+size)
	}
	return tables, keptData[:end], nil
}

// symbolFile is a symbols file that has been read.
type symbolFile struct {
	symbolsHeader
	*program
	all    []function
	starts []uint32
}

// readSymbols reads a symbols file.
func readSymbols(file []byte) (*symbolFile, error) {
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("it is not a symbols file: %w", err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	content, ok := bytes.CutPrefix(content, []byte(symbolsMagic))
	if !ok {
		return nil, fmt.Errorf("it is not a symbols file: it does not begin with %q", strings.TrimSpace(symbolsMagic))
	}
	line, content, _ := bytes.Cut(content, []byte{'\n'})
	s := &symbolFile{}
	if err := json.Unmarshal(line, &s.symbolsHeader); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	var spans [len(s.Sizes)]span
	at := 0
	for i, size := range s.Sizes {
		if size < 0 || size > len(content)-at {
			return nil, errors.New("it is damaged: it is cut short")
		}
		spans[i] = span{at, at + size}
		at += size
	}
	s.program = &program{
		content: content, ptrSize: s.PointerSize, quantum: s.Quantum, textStart: s.TextStart, goVersion: s.Go, functions: s.Functions,
		names: spans[0], units: spans[1], files: spans[2], pcTables: spans[3], records: spans[4], data: spans[5].begin, dataEnd: spans[5].end,
	}
	if s.all, err = s.allFunctions(); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	for starts := content[spans[6].begin:spans[6].end]; len(starts) >= 4; starts = starts[4:] {
		s.starts = append(s.starts, le.Uint32(starts))
	}
	return s, nil
}
