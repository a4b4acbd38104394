package launcher

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Part is a part of a packed program. src/format.h describes the format.
type Part struct {
	// Place and Size are the part's range in the program's file.
	Place, Size int
	// Packed is the number of bytes that it takes in the launcher.
	Packed int
	Filter Filter
	// Costs are the bits that each byte takes, after its filter. They add up to 8 times Packed, except for a few bytes.
	// It is nil for a part that LZMA didn't pack.
	Costs []float32
}

// Filter converts the bytes of a part so that they can be packed better.
type Filter uint8

// The filters that matter for what the bytes of a part are. All others keep each byte at its place, or close to it.
const (
	FilterTable Filter = 1  // Go's function table, by columns
	FilterGoARM Filter = 8  // the constants of a 32-bit ARM program follow its code
	FirstPCs    Filter = 9  // Go's pc tables; not packed by LZMA
	lastFilter  Filter = 11 // of pc tables, too
)

const (
	magic      = "mt-packed-1\n"
	headerSize = len(magic) + 4*4
	partSize   = 6*4 + 4
)

// Parts returns the parts of the program in a launcher's file.
func Parts(file []byte) ([]Part, error) {
	begin := bytes.Index(file, []byte(magic))
	if begin < 0 || len(file)-begin < headerSize {
		return nil, errors.New("it has no packed program")
	}
	payload := file[begin:]
	number := func(at int) int { return int(binary.LittleEndian.Uint32(payload[at:])) }
	program, count := number(len(magic)+8), number(len(magic)+12)
	if count > (len(payload)-headerSize)/partSize {
		return nil, errors.New("the packed program is damaged")
	}
	packed := payload[headerSize+count*partSize:]
	var all []Part
	for i := range count {
		at := headerSize + i*partSize
		p := Part{Place: number(at), Size: number(at + 4), Packed: number(at + 8), Filter: Filter(payload[at+25])}
		if p.Place > program || p.Size > program-p.Place || p.Packed > len(packed) || p.Filter > lastFilter {
			return nil, errors.New("the packed program is damaged")
		}
		if p.Filter < FirstPCs {
			var err error
			if _, p.Costs, err = decode(packed[:p.Packed], payload[at+24], p.Size); err != nil {
				return nil, fmt.Errorf("part %d of the packed program: %w", i, err)
			}
		}
		packed = packed[p.Packed:]
		all = append(all, p)
	}
	return all, nil
}
