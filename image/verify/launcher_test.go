package verify

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// launched returns a launcher with a payload of two parts. change runs before its checksum is computed, and after
// runs afterwards.
func launched(change func(*launcherHeader, []launcherPart), after func(payload []byte) []byte) fake {
	header := launcherHeader{Program: 300, Parts: 2}
	parts := []launcherPart{{Place: 0, Size: 100, Packed: 3}, {Place: 200, Size: 100, Packed: 4}}
	header.Size = uint32(len(launcherMagic) + binary.Size(header) + binary.Size(parts) + 7)
	if change != nil {
		change(&header, parts)
	}
	var b bytes.Buffer
	b.WriteString(launcherMagic)
	for _, part := range []any{header, parts, []byte("abcdefg")} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	payload := b.Bytes()
	binary.LittleEndian.PutUint32(payload[len(launcherMagic):], crc32.ChecksumIEEE(payload[len(launcherMagic)+4:]))
	if after != nil {
		payload = after(payload)
	}
	return fake{segments: []segment{{kind: elf.PT_LOAD, flags: elf.PF_R | elf.PF_X, content: append([]byte("launcher"), payload...)}}}
}

func TestBinaryLauncher(t *testing.T) {
	for name, c := range map[string]struct {
		file fake
		want string
	}{
		"good": {launched(nil, nil), ""},
		"damaged": {launched(nil, func(p []byte) []byte { p[len(p)-1] ^= 1; return p }),
			"is damaged: the packed program in it has the checksum"},
		"cut short":    {launched(nil, func(p []byte) []byte { return p[:len(p)-1] }), "is cut short: it has"},
		"only a magic": {launched(nil, func(p []byte) []byte { return p[:len(launcherMagic)+3] }), "header of the packed program"},
		"huge": {launched(func(h *launcherHeader, _ []launcherPart) { h.Size = 1 << 31 }, nil),
			"a packed program of 2147483648 bytes starts at"},
		"tiny": {launched(func(h *launcherHeader, _ []launcherPart) { h.Size = 3 }, nil), "a packed program of 3 bytes"},
		"too many parts": {launched(func(h *launcherHeader, _ []launcherPart) { h.Parts = 1 << 30 }, nil),
			"has a packed program of 1073741824 parts, but no room"},
		"part outside": {launched(func(_ *launcherHeader, p []launcherPart) { p[1].Place = 201 }, nil),
			"has a packed program of 300 bytes, but a part of 100 bytes belongs at 201"},
		"bytes left over": {launched(func(_ *launcherHeader, p []launcherPart) { p[1].Packed = 3 }, nil), "differ from its size by 1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := store(t, "tailscaled", c.file.bytes())
			wantError(t, Binary(path, target(t, "arm")), path, c.want)
		})
	}
}
