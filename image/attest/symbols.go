package attest

import (
	"context"
	"fmt"
	"os"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// SymbolsType is the media type of a symbols file.
const SymbolsType = "application/vnd." + recipe.Title + ".symbols+gzip"

// SymbolsSuffix is the suffix of a symbols file's name.
const SymbolsSuffix = ".symbols"

// SymbolsName returns the name of a platform's symbols file.
func SymbolsName(t platform.Target) string { return "tailscale-" + t.Name + SymbolsSuffix }

// Symbols returns the symbols file for crashes of the image's Tailscale. It is empty if the program itself has its
// symbols.
func Symbols(ctx context.Context, run assembly.StageRunner, p assembly.Product) (string, error) {
	s, stripped := p.Symbols()
	if !stripped {
		return "", nil
	}
	path, err := run(ctx, s)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the symbols for %s: %w", p.Target, err)
	}
	return string(content), nil
}
