package recipe

import (
	"strconv"

	"dagger/mikrotik-tailscale/daemon/checksum"
)

// inlined are the packages that are compiled with inlining, because every packet of the tailnet passes them. A call is
// only inlined if both the caller and the called function are in these packages.
var inlined = []string{
	"bytes",
	"crypto/internal/constanttime",
	"crypto/internal/fips140/subtle",
	"crypto/subtle",
	"encoding/binary",
	"github.com/gaissmai/bart",
	"github.com/gaissmai/bart/internal/bitset",
	"github.com/gaissmai/bart/internal/sparse",
	"github.com/tailscale/wireguard-go/conn",
	"github.com/tailscale/wireguard-go/device",
	"github.com/tailscale/wireguard-go/replay",
	"github.com/tailscale/wireguard-go/tsasm/arm/chacha20",
	"github.com/tailscale/wireguard-go/tsasm/arm/chacha20poly1305",
	"github.com/tailscale/wireguard-go/tun",
	"golang.org/x/crypto/chacha20",
	"golang.org/x/crypto/chacha20poly1305",
	"golang.org/x/crypto/internal/alias",
	"golang.org/x/crypto/internal/poly1305",
	"golang.org/x/net/internal/socket",
	"internal/abi",
	"internal/byteorder",
	"internal/chacha8rand",
	"internal/runtime/atomic",
	"internal/runtime/maps",
	"internal/runtime/math",
	"internal/runtime/sys",
	"internal/sync",
	"math/bits",
	"net/netip",
	"sync",
	"sync/atomic",
	"tailscale.com/disco",
	"tailscale.com/net/batching",
	"tailscale.com/net/flowtrack",
	"tailscale.com/net/ipset",
	"tailscale.com/net/netaddr",
	"tailscale.com/net/packet",
	"tailscale.com/net/tstun",
	"tailscale.com/tstime/mono",
	"tailscale.com/wgengine/filter",
	"tailscale.com/wgengine/filter/filtertype",
}

// addFasterPackets changes code that takes long for each packet, in copies of the modules that contain it. A release
// with other code there is compiled unchanged.
func addFasterPackets(s *Stage, architecture string) {
	changes := []change{
		// Packets are read in batches, and sorted by their peer. A batch rarely has packets of more than one peer, but
		// this map has room for 128, and going through it takes longer than anything else.
		{"wireguard/device/send.go", smallMap, 1}, {"wireguard/device/receive.go", smallMap, 1},
		// When packets are merged, each of 128 lists has room for 128 packets from the start: 400 kB on 64-bit machines.
		// They grow as needed, and keep their size.
		{"wireguard/tun/offload_linux.go", `s/\(iov := make(\[\]\[\]byte, 1\), conn.IdealBatchSize)$/\1, 2)/`, 1},
	}
	switch architecture {
	case "arm":
		// Each packet is added up when the kernel's large packets are split, and again when packets are merged.
		s.Files = append(s.Files, File{Name: "checksum.go", Content: checksum.Source})
		s.Steps = append(s.Steps, shell(`sed 's/^package .*/package tun/' "$1" >wireguard/tun/checksum_words.go`, InDir+"/checksum.go"))
		changes = append(changes, change{"wireguard/tun/checksum_generic.go",
			`s/\treturn checksumGeneric32(data, initial)$/\treturn checksumWords(data, initial)/`, 1})
	case "arm64":
		// The cipher computes four blocks at once, and the first one is the packet's key for the other cipher. This loop
		// encrypts with the other three.
		changes = append(changes, change{"crypto/chacha20/chacha_generic.go", `/^\t\tfor i, b := range keyStream {$/i\
		words := len(keyStream) \&^ 7\
		for i := 0; i < words; i += 8 {\
			binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:])^binary.LittleEndian.Uint64(keyStream[i:]))\
		}
				s/^\t\tfor i, b := range keyStream {$/\t\tfor i := words; i < len(keyStream); i++ {/
				s/^\t\t\tdst\[i\] = src\[i\] ^ b$/\t\t\tdst[i] = src[i] ^ keyStream[i]/`, 6})
	}
	for _, c := range changes {
		s.Steps = append(s.Steps, c.step())
	}
}

const smallMap = `s/\(elemsByPeer *= make(map\[\*Peer\]\*Queue[A-Za-z]*\), [A-Za-z]*)$/\1)/`

// change is a change of a file of a copied module. It is made as a whole or not at all.
type change struct {
	// file is relative to BuildDir.
	file string
	// edit is a sed script.
	edit string
	// lines is how many lines the edited file has that the original hasn't.
	lines int
}

// step returns the step that makes the change. If the file has other code, the step says so and leaves it as it is.
func (c change) step() []string {
	return shell(`new=$([ ! -e "$1" ] || sed "$2" "$1" | tee changed | diff "$1" - | grep -c '^>' || true)
		if [ "$new" = "$3" ]; then
			cp changed "$1"
		else
			echo "$1 of this release has other code, and is compiled unchanged" | tee -a "$4"
		fi`, c.file, c.edit, strconv.Itoa(c.lines), NotesFile)
}

// copyModules returns the step that copies the modules that the build changes, and compiles Tailscale with the copies.
// The checksum database has verified them before.
func copyModules(architecture string) []string {
	copies := []string{"github.com/tailscale/wireguard-go=wireguard", "github.com/gaissmai/bart=" + bartDir}
	if architecture == "arm64" {
		copies = append(copies, "golang.org/x/crypto=crypto")
	}
	return shell(`
		source=$1
		shift
		printf '%s\n' "$@" | sed 's/=.*//' | xargs go -C "$source" mod download -json >modules.json
		for copy; do
			module=${copy%%=*} directory=${copy#*=}
			cp -R --no-preserve=mode "$(sed -n "\|\"Path\": \"$module\"|,/}/s|.*\"Dir\": \"\(.*\)\".*|\1|p" modules.json)" "$directory"
			set -- "$@" "-replace=$module=../$directory"
			shift
		done
		go -C "$source" mod edit "$@"`, append([]string{sourceDir}, copies...)...)
}
