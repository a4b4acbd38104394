package attest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/assembly"
)

// ChecksumsName is the file of checksums beside several tarballs.
const ChecksumsName = "SHA256SUMS"

// File is what stands beside tarballs.
type File struct{ Name, Content string }

// Beside gives what stands beside the tarballs of a build: the bill of materials and the
// symbols of each, the provenance of all, and SHA256SUMS. The provenance is not summed: it holds the tarballs' sums
// itself, and it is the one file that tells by which way they were built.
func Beside(ctx context.Context, outputs assembly.Outputs, b Build, tarballs []Subject) ([]File, error) {
	var files []File
	for _, p := range b.Products {
		text, err := SBOM(ctx, outputs, p)
		if err != nil {
			return nil, err
		}
		files = append(files, File{SBOMName(p.Target), text})
		symbols, stripped, err := Symbols(ctx, outputs, p)
		if err != nil {
			return nil, err
		}
		if stripped {
			files = append(files, File{SymbolsName(p.Target), symbols})
		}
	}
	summed := slices.Clone(tarballs)
	for _, f := range files {
		sum := sha256.Sum256([]byte(f.Content))
		summed = append(summed, Subject{f.Name, hex.EncodeToString(sum[:])})
	}
	provenance, err := Provenance(ctx, outputs, b, tarballs)
	return append(files, File{ProvenanceName, provenance}, File{ChecksumsName, checksums(summed)}), err
}

// checksums is a file as sha256sum writes it.
func checksums(subjects []Subject) string {
	var b strings.Builder
	for _, s := range subjects {
		fmt.Fprintf(&b, "%s  %s\n", s.SHA256, s.Name)
	}
	return b.String()
}
