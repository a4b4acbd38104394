// Command cipher prints how many nanoseconds it takes to encrypt a packet of the tailnet.
package main

import (
	"fmt"
	"log"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

func main() {
	cipher, err := chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		log.Fatal(err)
	}
	nonce, packet := make([]byte, cipher.NonceSize()), make([]byte, 1280)
	encrypted := make([]byte, 0, len(packet)+cipher.Overhead())
	fmt.Println(testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			cipher.Seal(encrypted, nonce, packet, nil)
		}
	}).NsPerOp())
}
