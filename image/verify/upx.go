package verify

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"dagger/mikrotik-tailscale/platform"
)

// upxHeader is what UPX writes after the program headers of a packed program. upxBlock precedes each packed part. The
// first part is the program's own headers.
type (
	upxHeader struct {
		Checksum                     uint32
		Magic                        [4]byte
		LoaderSize                   uint16
		Version, Format              uint8
		Program, FileSize, BlockSize uint32
		Headers                      upxBlock
	}
	upxBlock struct {
		Unpacked, Packed                  uint32
		Method, Filter, Parameter, Unused uint8
	}
)

// goodUPX is the signature of the only UPX release without the bug.
const goodUPX = "$Id: UPX 4.24 "

// checkUPX returns an error if a program for 32-bit ARM has an executable segment that fills its last page, and was
// packed by any UPX but 4.2.4. Such programs can crash at start, and "upx -t" doesn't notice. See
// https://github.com/upx/upx/issues/18898.
//
// The size before packing counts. UPX stores it as the sum of the first two parts: the headers and the rest of the
// first segment, where linkers for ARM put the code.
func checkUPX(r io.ReaderAt, size int64, header elf.Header32, t platform.Target) error {
	const page = 4096
	at := int64(header.Phoff) + int64(header.Phnum)*int64(header.Phentsize)
	var packed upxHeader
	if !readAt(r, at, &packed) || string(packed.Magic[:]) != "UPX!" {
		return nil
	}
	var code upxBlock
	if !readAt(r, at+int64(binary.Size(packed))+int64(packed.Headers.Packed), &code) {
		return nil
	}
	segment := int64(packed.Headers.Unpacked) + int64(code.Unpacked)
	if segment%page != 0 {
		return nil
	}
	content, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil {
		return err
	}
	if bytes.Contains(content, []byte(goodUPX)) {
		return nil
	}
	return fmt.Errorf("can crash at start: UPX packed it from a program whose code fills its last page (%d bytes), "+
		"but %s needs UPX 4.2.4 for such a program, or no packing", segment, t)
}

func readAt(r io.ReaderAt, at int64, to any) bool {
	return binary.Read(io.NewSectionReader(r, at, int64(binary.Size(to))), binary.LittleEndian, to) == nil
}
