package launcher

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"
)

// packedText is text, packed by another implementation of LZMA as a raw stream with lc=2, lp=1 and pb=2.
const (
	packedText = "" +
		"00261a49c667420bc34ac935d0e9e3596027453a5fea43dfcc777aca244c5ce17ce545cc0294f0dc485e4a8e5ab78eb855ea3adc76d601" +
		"fb8c5d6f468537f35be290ada49a40a5f1bae9e9e2975a16887e454c7eb1c57b95d12e0a43c335861effc163b471ac865565ad02502ca8" +
		"37b1b2239006e81f843deb3cda36f14cd0636ae411ef88de652426a99abb64319bc2f1f566cde3de7e7e5b633b64e5a762193b0616f8cd" +
		"3b191334080247446612af82585d232e0f8661af7f0049526eedcb7633ed64a7be2934ef590d46028d5fe86b97e82f143a1a18c5c56082" +
		"caffffaeee6ead"
	packedTextProperties = (2*5+1)*9 + 2
)

func text() string {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "Line %d of a text that LZMA packs well, because it repeats itself: %s\n", i, strings.Repeat("again ", i%5))
	}
	return b.String()
}

func TestEachByteHasItsCost(t *testing.T) {
	packed, err := hex.DecodeString(packedText)
	if err != nil {
		t.Fatal(err)
	}
	want := text()
	got, costs, err := decode(packed, packedTextProperties, len(want))
	if err != nil || string(got) != want {
		t.Fatalf("decoded %q (%v); want %q", got, err, want)
	}
	var all, first float64
	for i, c := range costs {
		all += float64(c)
		if i < 66 {
			first += float64(c)
		}
	}
	// The stream ends with a mark and with a few bytes that the decoder has to read ahead.
	if bytes := all / 8; math.Abs(bytes-float64(len(packed))) > 12 {
		t.Errorf("the costs add up to %.1f bytes; the stream has %d", bytes, len(packed))
	}
	if first < all/10 {
		t.Errorf("the first line takes %.0f of %.0f bits, but all others repeat it", first, all)
	}
}

func TestADamagedStreamIsAnError(t *testing.T) {
	packed, err := hex.DecodeString(packedText)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in         []byte
		properties byte
	}{
		"no stream":          {nil, packedTextProperties},
		"cut short":          {packed[:len(packed)/2], packedTextProperties},
		"unknown properties": {packed, 225},
		// Its first symbol repeats a byte, but there is none.
		"nothing to repeat": {append([]byte{0}, strings.Repeat("\xfe", 40)...), packedTextProperties},
	} {
		if _, _, err := decode(c.in, c.properties, len(text())); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAFileWithoutAPackedProgramIsAnError(t *testing.T) {
	for name, file := range map[string]string{
		"no launcher":      "\x7fELF",
		"a short header":   magic + "12345",
		"too many parts":   magic + strings.Repeat("\xff", 16),
		"a part too large": magic + "sum.size\x10\x00\x00\x00\x01\x00\x00\x00" + strings.Repeat("\x20", partSize),
	} {
		if _, err := Parts([]byte(file)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
