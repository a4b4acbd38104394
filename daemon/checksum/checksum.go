// Package checksum computes the checksums of IP packets on 32-bit processors. The build adds it to wireguard-go, whose
// own function for these processors reads each byte by itself.
package checksum

import (
	"math/bits"
	"unsafe"
)

// checksumWords returns the ones' complement sum of b and initial. It reads whole words, at addresses that are
// multiples of their size, because some of the processors can't read words elsewhere. The processor is little-endian.
func checksumWords(b []byte, initial uint16) uint16 {
	var sum, first uint64
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	odd := at%2 != 0 && len(b) > 0
	if odd {
		first = uint64(b[0])
		b, at = b[1:], at+1
	}
	if at%4 != 0 && len(b) >= 2 {
		sum = uint64(*(*uint16)(unsafe.Pointer(unsafe.SliceData(b))))
		b = b[2:]
	}
	words := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
	for len(words) >= 8 {
		w := (*[8]uint32)(words)
		sum += uint64(w[0])
		sum += uint64(w[1])
		sum += uint64(w[2])
		sum += uint64(w[3])
		sum += uint64(w[4])
		sum += uint64(w[5])
		sum += uint64(w[6])
		sum += uint64(w[7])
		words = words[8:]
	}
	for _, w := range words {
		sum += uint64(w)
	}
	for i, c := range b[len(b)&^3:] {
		sum += uint64(c) << (8 * i)
	}
	if odd {
		// The bytes after the first one were added at each other's place.
		sum = first + uint64(bits.ReverseBytes16(fold(sum)))
	}
	return bits.ReverseBytes16(fold(sum + uint64(bits.ReverseBytes16(initial))))
}

// fold adds the carries to the sum until it has 16 bits.
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
