package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// launcherMagic and launcherHeader begin the packed program in a launcher. See format.h in shrink/launcher/src.
const launcherMagic = "mt-packed-1\n"

type launcherHeader struct {
	Checksum, Size, Program, Parts uint32
}

type launcherPart struct {
	Place, Size, Packed         uint32
	Functions, Other, Constants uint32
	Properties, Filter          uint8
	Unused                      uint16
}

// checkLauncher checks the packed program in a launcher. The launcher itself only checks it on the router, when it
// unpacks the program. A file without a packed program passes.
func checkLauncher(r io.ReaderAt, size int64) error {
	content, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil {
		return err
	}
	// The launcher's own code doesn't contain the magic.
	at := bytes.Index(content, []byte(launcherMagic))
	if at < 0 {
		return nil
	}
	var header launcherHeader
	begin := at + len(launcherMagic)
	if _, err := binary.Decode(content[begin:], binary.LittleEndian, &header); err != nil {
		return fmt.Errorf("is cut short: the header of the packed program in it ends early")
	}
	if uint64(at)+uint64(header.Size) > uint64(len(content)) || int(header.Size) < len(launcherMagic)+binary.Size(header) {
		return fmt.Errorf("is cut short: it has %d bytes, but a packed program of %d bytes starts at %d", len(content), header.Size, at)
	}
	checked := content[begin+binary.Size(header.Checksum) : at+int(header.Size)]
	if got := crc32.ChecksumIEEE(checked); got != header.Checksum {
		return fmt.Errorf("is damaged: the packed program in it has the checksum %08x, but its header says %08x", got, header.Checksum)
	}
	list := content[begin+binary.Size(header) : at+int(header.Size)]
	parts := make([]launcherPart, min(int(header.Parts), len(list)))
	if _, err := binary.Decode(list, binary.LittleEndian, parts); err != nil {
		return fmt.Errorf("has a packed program of %d parts, but no room for their list", header.Parts)
	}
	packed := len(list) - binary.Size(parts)
	for _, p := range parts {
		if uint64(p.Place)+uint64(p.Size) > uint64(header.Program) {
			return fmt.Errorf("has a packed program of %d bytes, but a part of %d bytes belongs at %d", header.Program, p.Size, p.Place)
		}
		packed -= int(p.Packed)
	}
	if packed != 0 {
		return fmt.Errorf("has a packed program whose parts differ from its size by %d bytes", packed)
	}
	return nil
}
