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

// ChecksumsName is the name of the file with the checksums of several tarballs.
const ChecksumsName = "SHA256SUMS"

// File is a file that is written next to tarballs.
type File struct{ Name, Content string }

// Attestations has the texts that describe one product.
type Attestations struct {
	SBOM string
	// Symbols is empty if the program itself has them.
	Symbols string
}

// ForProducts returns the attestations of several products, which it makes at the same time.
func ForProducts(ctx context.Context, run assembly.StageRunner, products []assembly.Product) ([]Attestations, error) {
	return iter.MapErr(products, func(p *assembly.Product) (a Attestations, err error) {
		if a.SBOM, err = SBOM(ctx, run, *p); err != nil {
			return a, err
		}
		a.Symbols, err = Symbols(ctx, run, *p)
		return a, err
	})
}

// Files returns the files that belong next to the tarballs of a build: the SBOM and the symbols of each image, the
// provenance of all images, and SHA256SUMS. The sums don't cover the provenance, because it is the only file that
// differs between the engine and the command. The provenance itself contains the sums of the tarballs.
func Files(ctx context.Context, run assembly.StageRunner, b Build, tarballs []Subject) ([]File, error) {
	all, err := ForProducts(ctx, run, b.Products)
	if err != nil {
		return nil, err
	}
	var files []File
	for i, a := range all {
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
	provenance, err := Provenance(ctx, run, b, tarballs)
	return append(files, File{ProvenanceName, provenance}, File{ChecksumsName, checksums(summed)}), err
}

// checksums returns a file in the format of sha256sum.
func checksums(subjects []Subject) string {
	var b strings.Builder
	for _, s := range subjects {
		fmt.Fprintf(&b, "%s  %s\n", s.SHA256, s.Name)
	}
	return b.String()
}
