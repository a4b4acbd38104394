package main

import (
	"crypto/cipher"
	"os"
	"time"
	"unsafe"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun"
)

// writeOffset is the space before each written packet.
const writeOffset = device.MessageTransportHeaderSize

// tunDevice is a TUN device without a kernel. It splits and merges packets like Linux's.
type tunDevice struct {
	traffic traffic
	// send allows one read, and received is sent when the same number of packets has been written.
	send, received chan struct{}
	written        int
	events         chan tun.Event

	tcp, udp unsafe.Pointer
	merge    groToWrite

	slab    []byte
	packets []tun.ReadPacket
	bufs    [][]byte
}

func newDevice(t traffic) *tunDevice {
	return &tunDevice{
		traffic: t, send: make(chan struct{}, 1), received: make(chan struct{}, 1), events: make(chan tun.Event),
		tcp: newTCPGROTable(), udp: newUDPGROTable(), merge: newGROToWrite(),
		slab: make([]byte, 1<<17), packets: make([]tun.ReadPacket, batchSize), bufs: make([][]byte, batchSize),
	}
}

const batchSize = 128

func (d *tunDevice) BatchSize() int           { return batchSize }
func (d *tunDevice) Close() error             { return nil }
func (d *tunDevice) Events() <-chan tun.Event { return d.events }
func (d *tunDevice) File() *os.File           { return nil }
func (d *tunDevice) MTU() (int, error)        { return packetSize, nil }
func (d *tunDevice) Name() (string, error)    { return "datapath", nil }

// Read implements tun.Device.
func (d *tunDevice) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	<-d.send
	in := slab[tun.ReadPacketSpacing:]
	in = in[:copy(in, d.traffic.packet)]
	return tun.GSOSplit(in, d.traffic.options, slab, packets, tun.ReadPacketSpacing)
}

// Write implements tun.Device.
func (d *tunDevice) Write(bufs [][]byte, offset int) (int, error) {
	resetTCPGROTable(d.tcp)
	resetUDPGROTable(d.udp)
	resetGROToWrite(&d.merge)
	const noUDP = 2 // as before Linux 6.2
	must(handleGRO(bufs, offset, d.tcp, d.udp, noUDP, &d.merge))
	if d.written += len(bufs); d.written >= d.traffic.packets {
		d.written = 0
		select {
		case d.received <- struct{}{}:
		default:
		}
	}
	return len(bufs), nil
}

// firstPacket sends packets until the other device receives one. The routers know each other's path then.
func (d *tunDevice) firstPacket(to *tunDevice) {
	for {
		d.send <- struct{}{}
		select {
		case <-to.received:
			// Packets that waited for the handshake come later.
			time.Sleep(time.Second)
			to.written = 0
			select {
			case <-to.received:
			default:
			}
			return
		case <-time.After(time.Second):
		}
	}
}

// What follows is not exported by the packages that contain it.

//go:linkname chacha20poly1305New github.com/tailscale/wireguard-go/device.chacha20poly1305New
func chacha20poly1305New(key []byte) (cipher.AEAD, error)

func newCipher() cipher.AEAD { return must1(chacha20poly1305New(make([]byte, 32))) }

type groToWrite struct {
	iovs      [][][]byte
	allocated int
}

//go:linkname newTCPGROTable github.com/tailscale/wireguard-go/tun.newTCPGROTable
func newTCPGROTable() unsafe.Pointer

//go:linkname newUDPGROTable github.com/tailscale/wireguard-go/tun.newUDPGROTable
func newUDPGROTable() unsafe.Pointer

//go:linkname newGROToWrite github.com/tailscale/wireguard-go/tun.newGROToWrite
func newGROToWrite() groToWrite

//go:linkname resetTCPGROTable github.com/tailscale/wireguard-go/tun.(*tcpGROTable).reset
func resetTCPGROTable(unsafe.Pointer)

//go:linkname resetUDPGROTable github.com/tailscale/wireguard-go/tun.(*udpGROTable).reset
func resetUDPGROTable(unsafe.Pointer)

//go:linkname resetGROToWrite github.com/tailscale/wireguard-go/tun.(*groToWrite).reset
func resetGROToWrite(*groToWrite)

//go:linkname handleGRO github.com/tailscale/wireguard-go/tun.handleGRO
func handleGRO(bufs [][]byte, offset int, tcp, udp unsafe.Pointer, disabled int, merge *groToWrite) error
