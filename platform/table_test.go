package platform

import (
	"fmt"
	"strings"
	"testing"
)

// A wrong value in the table builds programs that a router can't run. So the test repeats the whole table, in the
// order of the fields for compilers, Debian, container platforms and RouterOS.
func TestTheTableOfPlatforms(t *testing.T) {
	want := strings.TrimSpace(`
amd64 [x86 x86_64 chr] x86 (x86 and CHR) [] linux/amd64  GOARM= x86_64-linux-gnu amd64 [-march=x86-64 -mtune=generic] EM_X86_64 ELFCLASS64 hard=false
arm64 [aarch64 arm64v8] arm64 (64-bit ARM boards) [] linux/arm64  GOARM= aarch64-linux-gnu arm64 [-march=armv8-a] EM_AARCH64 ELFCLASS64 hard=false
arm [armv7 armhf arm32v7] arm (32-bit ARM boards, except those that need armv5) [] linux/arm v7 GOARM=7 arm-linux-gnueabihf armhf [-march=armv7-a+fp -mfloat-abi=hard -mthumb] EM_ARM ELFCLASS32 hard=true
armv5 [armel arm32v5] arm (boards with the EN7562CT: hEX refresh (E50UG), hEX S (2025), hAP ax S) [hEX,hEX refresh,hEX S,hEX S (2025),hAP ax S,E50UG,E60iUGS,E62iUGS-] linux/arm v5 GOARM=5 arm-linux-gnueabi armel [-march=armv5te -mfloat-abi=soft -marm] EM_ARM ELFCLASS32 hard=false`)
	var lines []string
	for _, p := range All() {
		lines = append(lines, fmt.Sprintf("%s %v %s (%s) [%s] %s/%s %s GOARM=%s %s %s %v %v %v hard=%v", p.Name, p.Aliases, p.RouterOS, p.Boards,
			strings.Join(p.Models, ","), p.OS, p.Architecture, p.Variant, p.GOARM, p.Triple, p.Debian, p.CFlags, p.Machine, p.Class, p.HardFloat))
	}
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}

// Passing floats in registers must match the processor, or programs crash at their first calculation.
func TestFlagsOfOnePlatformAgree(t *testing.T) {
	for _, p := range All() {
		flags := strings.Join(p.CFlags, " ")
		if p.Architecture != "arm" {
			if p.GOARM != "" || p.Variant != "" || p.HardFloat {
				t.Errorf("%s has settings of 32-bit ARM", p)
			}
			continue
		}
		if p.Variant != "v"+p.GOARM || !strings.Contains(flags, "-march=armv"+p.GOARM) {
			t.Errorf("%s: variant %s, GOARM %s, %s", p, p.Variant, p.GOARM, flags)
		}
		if hard := strings.Contains(flags, "-mfloat-abi=hard"); hard != p.HardFloat || hard != strings.HasSuffix(p.Triple, "hf") {
			t.Errorf("%s: hard floats %v, %s, %s", p, p.HardFloat, p.Triple, flags)
		}
	}
}
