package attest

import (
	"context"
	"fmt"
	"os"

	"dagger/mikrotik-tailscale/image/assembly"
	"dagger/mikrotik-tailscale/platform"
	"dagger/mikrotik-tailscale/recipe"
)

// SymbolsType is the media type of a file of symbols.
const SymbolsType = "application/vnd." + recipe.Title + ".symbols+gzip"

// SymbolsSuffix is what the name of a file of symbols ends with.
const SymbolsSuffix = ".symbols"

// SymbolsName is the file name of a platform's symbols.
func SymbolsName(t platform.Target) string { return "tailscale-" + t.Name + SymbolsSuffix }

// Symbols gives the file that crashes of the image's Tailscale are read with. It is empty where the program
// itself has its symbols.
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
