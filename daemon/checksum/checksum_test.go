package checksum

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// reference adds one 16-bit word after the other, as RFC 1071 describes it.
func reference(b []byte, initial uint16) uint16 {
	sum := uint64(initial)
	for len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return fold(sum)
}

// Every length up to that of a packet, at every alignment.
func TestTheChecksumIsThatOfTheReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	buffer := make([]byte, 1600)
	for i := range buffer {
		buffer[i] = byte(random.Uint32())
	}
	for begin := range 8 {
		for length := range 1500 {
			b, initial := buffer[begin:begin+length], uint16(random.Uint32())
			if got, want := checksumWords(b, initial), reference(b, initial); got != want {
				t.Fatalf("%d bytes at %d with %#x: %#x, want %#x", length, begin, initial, got, want)
			}
		}
	}
}

// All carries that there can be.
func TestTheChecksumOfOnes(t *testing.T) {
	ones := make([]byte, 65535)
	for i := range ones {
		ones[i] = 0xff
	}
	for begin := range 8 {
		b := ones[begin:]
		if got, want := checksumWords(b, 0xffff), reference(b, 0xffff); got != want {
			t.Errorf("at %d: %#x, want %#x", begin, got, want)
		}
	}
}
