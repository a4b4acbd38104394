package launcher_test

import (
	"testing"

	"dagger/mikrotik-tailscale/shrink/launcher"
)

// What the bytes of a part take adds up to what the packer wrote.
func TestCostsOfPackedPrograms(t *testing.T) {
	for _, machine := range machines {
		payload := pack(t, goProgram(machine, 200).bytes(nil))
		parts, err := launcher.Parts(append([]byte("a launcher's code"), payload...))
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, p := range parts {
			if p.Filter >= launcher.FirstPCs {
				continue
			}
			checked++
			var bits float64
			for _, c := range p.Costs {
				bits += float64(c)
			}
			if len(p.Costs) != p.Size || bits/8 > float64(p.Packed) || bits/8 < float64(p.Packed)-6 {
				t.Errorf("machine %d: %d bytes at %d take %.1f bytes; the packer wrote %d", machine, p.Size, p.Place, bits/8, p.Packed)
			}
		}
		if checked < 3 {
			t.Errorf("machine %d: only %d parts were packed with LZMA", machine, checked)
		}
	}
}
