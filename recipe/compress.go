package recipe

import (
	"strings"

	"dagger/mikrotik-tailscale/platform"
)

// Compress returns the stage that packs a binary. The input "binary" is the output of the given stage. If that is
// nil, the runner of the stage provides the file. With CompressionNone, the stage only copies.
func Compress(t platform.Target, c Config, binary *Stage) Stage {
	s := Stage{
		Name: "compress", Platform: t.Name, Base: BaseDebian, Packages: tools.packages(),
		Inputs: []Input{{Name: "binary", Stage: binary}},
		Output: "binary",
	}
	if binary != nil {
		s.Name = "compress " + strings.TrimPrefix(binary.Name, stripPrefix)
	}
	in, out := InDir+"/binary", OutDir+"/"+s.Output
	switch c.Compression {
	case CompressionNone:
		s.Steps = [][]string{{"cp", in, out}}
		return s
	case CompressionLauncher:
		name := "program"
		if binary != nil {
			name = binary.Output
		}
		return withLauncher(s, t, c, in, name)
	}
	s.Steps = [][]string{
		shell(`
			found=$(upx --version | head -n 1)
			if [ "$found" != "upx $1" ]; then
				echo "want UPX $1, because other releases make ARM binaries that crash; Debian has: $found" >&2
				exit 1
			fi`, UPXVersion),
		{"install", "-m", "755", in, "binary"}, // UPX only packs executable files
		{"upx", "-qq", "--lzma", "--best", "-o", out, "binary"},
		{"upx", "-qq", "-t", out},
	}
	return s
}
