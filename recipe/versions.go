package recipe

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The versions of everything in the image.
const (
	// TailscaleVersion is the default Tailscale release. Even minor versions are Tailscale's stable releases.
	TailscaleVersion = "1.104.5"
	// TailscaleGo is the Go release that TailscaleVersion requires. A build would find it out, but only with another release,
	// and would have to download and unpack both.
	TailscaleGo = "1.27.3"
	// PreviousTailscaleVersion is the newest release of the last stable minor version, which is tested as well.
	PreviousTailscaleVersion = "1.102.5"
	// BusyboxVersion is the default busybox release.
	BusyboxVersion = "1.38.0"
	// GoVersion compiles this project's tools, and Tailscale unless its release requires a later one.
	GoVersion = "1.26.8"
	// UPXVersion is the only accepted UPX release, because others make ARM binaries that crash at start (UPX issues
	// 18898 and 901).
	UPXVersion = "4.2.4"
	// SevenZipVersion is a 7-Zip release, by Debian's version. Its LZMA code packs the binaries, and unpacks them on
	// the router. SevenZipChecksum is the sha256 of its source.
	SevenZipVersion  = "25.01+dfsg"
	SevenZipChecksum = "077c424cd50001e2be8847892522bc83e807e0b9448af1b69512c03d769c88ef"
	// MuslVersion is the release of the C library in static programs, the same as in the Debian suite. MuslChecksum
	// is the sha256 of its source.
	MuslVersion  = "1.2.5"
	MuslChecksum = "a9a118bbe84d8764da0ea0d28b3ab3fae8477fc7e4085d90102b8596fc7c75e4"
	// DebianSuite is the Debian release that compilers, UPX and the CA certificates come from, without its updates.
	DebianSuite = "trixie"
	// DebianSnapshot is the state of that release that packages come from: a time of snapshot.debian.org.
	// packages.lock has the versions of the packages.
	DebianSnapshot = "20261122T000000Z"
	// DebianImage is the container image that the engine starts stages from. A digest after the tag pins it.
	DebianImage = "debian:trixie-slim"
	// DefaultGoImage is the container image in which the engine compiles Tailscale: GoVersion on DebianSuite. A
	// digest after the tag pins it.
	DefaultGoImage = "golang:1.26.8-trixie"
	// Revision is the default revision of the image.
	Revision = 1
)

// minorOf returns the minor version of a Tailscale release, for example 104 for 1.104.5.
func minorOf(version string) (minor int, ok bool) {
	rest, _ := strings.CutPrefix(version, "1.")
	text, _, _ := strings.Cut(rest, ".")
	minor, err := strconv.Atoi(text)
	return minor, err == nil && rest != version
}

// GoImage returns the container image of a Go release on the Debian release. Only the default release's is pinned.
func GoImage(version string) string {
	if version == GoVersion {
		return DefaultGoImage
	}
	return "golang:" + version + "-" + DebianSuite
}

// busyboxChecksums has the sha256 sums of the releases' .tar.bz2 files.
var busyboxChecksums = map[string]string{
	"1.38.0": "34f9ea6ff8636f2c9241153b9114eefa9e65674a45318ae1ef95bb5f31c53bb2",
	"1.37.0": "3311dff32e746499f4df0d5df04d7eb396382d7e108bb9250e7b519b837043a4",
}

// BusyboxVersions returns the busybox releases whose checksum is known.
func BusyboxVersions() []string { return slices.Sorted(maps.Keys(busyboxChecksums)) }
