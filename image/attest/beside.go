package attest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/sourcegraph/conc/iter"

	"dagger/mikrotik-tailscale/image/assembly"
)

// ChecksumsName is the file of checksums beside several tarballs.
const ChecksumsName = "SHA256SUMS"

// File is what stands beside tarballs.
type File struct{ Name, Content string }

// About is what tells of one product.
type About struct {
	SBOM string
	// Symbols are empty where the program itself has them.
	Symbols string
}

// OfAll tells of several products, made at the same time.
func OfAll(ctx context.Context, outputs assembly.Outputs, products []assembly.Product) ([]About, error) {
	return iter.MapErr(products, func(p *assembly.Product) (a About, err error) {
		if a.SBOM, err = SBOM(ctx, outputs, *p); err != nil {
			return a, err
		}
		a.Symbols, err = Symbols(ctx, outputs, *p)
		return a, err
	})
}

// Beside gives what stands beside the tarballs of a build: the bill of materials and the
// symbols of each, the provenance of all, and SHA256SUMS. The provenance is not summed: it holds the tarballs' sums
// itself, and it is the one file that tells by which way they were built.
func Beside(ctx context.Context, outputs assembly.Outputs, b Build, tarballs []Subject) ([]File, error) {
	abouts, err := OfAll(ctx, outputs, b.Products)
	if err != nil {
		return nil, err
	}
	var files []File
	for i, a := range abouts {
		files = append(files, File{SBOMName(b.Products[i].Target), a.SBOM})
		if a.Symbols != "" {
			files = append(files, File{SymbolsName(b.Products[i].Target), a.Symbols})
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
