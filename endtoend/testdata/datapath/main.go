// Command datapath moves packets through the code that every packet of the tailnet passes, and prints the nanoseconds
// that they took. It is compiled with Tailscale's source, like the daemon.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"time"
)

// steps are the parts of the path, by name. Each takes a number of packets.
var steps = map[string]func(packets int){
	"encrypt": encrypt,
	"decrypt": decrypt,
	"filter":  filterPackets,
	"batch":   batch,
	"bulk":    func(packets int) { route(bulk(), packets) },
	"single":  func(packets int) { route(single(), packets) },
}

func main() {
	if len(os.Args) != 3 || steps[os.Args[1]] == nil {
		log.Fatal("usage: datapath STEP PACKETS")
	}
	packets, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	runtime.GOMAXPROCS(1)
	steps[os.Args[1]](packets)
}

// measure prints how long the function takes.
func measure(work func()) {
	began := time.Now()
	work()
	fmt.Println(time.Since(began).Nanoseconds())
}

// encrypt encrypts packets of the tailnet's usual size.
func encrypt(packets int) {
	cipher := newCipher()
	nonce, packet := make([]byte, cipher.NonceSize()), make([]byte, packetSize)
	out := make([]byte, 0, packetSize+cipher.Overhead())
	measure(func() {
		for range packets {
			cipher.Seal(out, nonce, packet, nil)
		}
	})
}

// decrypt decrypts packets.
func decrypt(packets int) {
	cipher := newCipher()
	nonce, packet := make([]byte, cipher.NonceSize()), make([]byte, packetSize)
	sealed := cipher.Seal(nil, nonce, packet, nil)
	measure(func() {
		for range packets {
			if out, err := cipher.Open(packet[:0], nonce, sealed, nil); err != nil || len(out) != packetSize {
				log.Fatal(len(out), err)
			}
		}
	})
}

// batch splits large packets as the kernel hands them over, and merges the small packets again.
func batch(packets int) {
	device := newDevice(bulk())
	measure(func() {
		for range packets / device.traffic.packets {
			device.send <- struct{}{}
			n, err := device.Read(device.slab, device.packets)
			must(err)
			for i, p := range device.packets[:n] {
				device.bufs[i] = device.slab[p.Offset-writeOffset : p.Offset+p.Size]
			}
			must1(device.Write(device.bufs[:n], writeOffset))
			<-device.received
		}
	})
	if got := bytes.Join(device.merge.iovs[0][1:], nil); !bytes.Equal(got[40:], device.traffic.packet[40:]) {
		log.Fatal("splitting and merging has changed the packet")
	}
}

// route sends packets from one router to another, in the same process. Everything but the kernel is real.
func route(t traffic, packets int) {
	one, two := newRouter(t, 1), newRouter(t, 2)
	one.meet(two)
	two.meet(one)
	one.device.firstPacket(two.device)
	measure(func() {
		for range packets / t.packets {
			one.device.send <- struct{}{}
			<-two.device.received
		}
	})
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func must1[T any](v T, err error) T {
	must(err)
	return v
}
