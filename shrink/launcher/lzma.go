package launcher

import (
	"errors"
	"math"
)

var errStream = errors.New("the LZMA stream is damaged")

// decode decodes an LZMA stream without a header, of which the properties and the size are known. It returns the
// decoded bytes, and how many bits each of them takes in the stream. The bits of a repetition are spread over its bytes.
//
// Libraries can unpack such streams as well, but they don't tell how many bits each byte takes.
func decode(in []byte, properties byte, size int) ([]byte, []float32, error) {
	if properties >= 9*5*5 || len(in) < 5 {
		return nil, nil, errStream
	}
	lc, lp, pb := uint(properties%9), uint(properties/9%5), uint(properties/45)
	d := &rangeDecoder{in: in[5:], width: math.MaxUint32}
	for _, b := range in[1:5] {
		d.code = d.code<<8 | uint32(b)
	}
	const states = 12
	var (
		isMatch, isRep0Long        [states << 4]probability
		isRep, isRep0, isRep1, two [states]probability
		slots                      [4][1 << 6]probability
		special                    [1 + 128 - 14]probability
		align                      [1 << 4]probability
		lengths, repeatLengths     lengthDecoder
	)
	literals := make([]probability, 0x300<<(lc+lp))
	var out []byte
	var costs []float32
	state, rep := 0, [4]int{}
	for len(out) < size {
		d.bits = 0
		position := len(out) & (1<<pb - 1)
		if !d.bit(&isMatch[state<<4+position]) {
			out = append(out, d.literal(literals[0x300*literalContext(out, lc, lp):], out, rep[0], state >= 7))
			costs = append(costs, float32(d.bits))
			switch {
			case state < 4:
				state = 0
			case state < 10:
				state -= 3
			default:
				state -= 6
			}
			continue
		}
		length := 1
		next := func(short, long int) int {
			if state < 7 {
				return short
			}
			return long
		}
		switch {
		case !d.bit(&isRep[state]):
			rep[3], rep[2], rep[1] = rep[2], rep[1], rep[0]
			length = 2 + lengths.decode(d, position)
			rep[0] = d.distance(slots[min(length-2, 3)][:], special[:], align[:])
			state = next(7, 10)
		case !d.bit(&isRep0[state]):
			if !d.bit(&isRep0Long[state<<4+position]) {
				state = next(9, 11)
				break
			}
			length = 2 + repeatLengths.decode(d, position)
			state = next(8, 11)
		default:
			i := 1
			if d.bit(&isRep1[state]) {
				if i = 2; d.bit(&two[state]) {
					i = 3
				}
			}
			distance := rep[i]
			copy(rep[1:i+1], rep[:i])
			rep[0] = distance
			length = 2 + repeatLengths.decode(d, position)
			state = next(8, 11)
		}
		if d.failed || rep[0] >= len(out) || length > size-len(out) {
			return nil, nil, errStream
		}
		for range length {
			out = append(out, out[len(out)-1-rep[0]])
			costs = append(costs, float32(d.bits/float64(length)))
		}
	}
	if d.failed {
		return nil, nil, errStream
	}
	return out, costs, nil
}

func literalContext(out []byte, lc, lp uint) int {
	var previous byte
	if len(out) > 0 {
		previous = out[len(out)-1]
	}
	return (len(out)&(1<<lp-1))<<lc + int(previous)>>(8-lc)
}

// probability is how probable it is that the next bit is 0, in 2048ths, as a difference from one half.
type probability int16

// rangeDecoder decodes bits, and adds up what they take.
type rangeDecoder struct {
	in          []byte
	width, code uint32
	bits        float64
	failed      bool
}

func (d *rangeDecoder) normalize() {
	if d.width >= 1<<24 {
		return
	}
	d.width <<= 8
	d.code <<= 8
	if len(d.in) == 0 {
		d.failed = true
		return
	}
	d.code |= uint32(d.in[0])
	d.in = d.in[1:]
}

func (d *rangeDecoder) bit(p *probability) bool {
	d.normalize()
	zero := uint32(*p + 1024)
	bound := d.width >> 11 * zero
	if d.code < bound {
		d.width = bound
		d.bits += bitCosts[zero]
		*p += probability((2048 - zero) >> 5)
		return false
	}
	d.width -= bound
	d.code -= bound
	d.bits += bitCosts[2048-zero]
	*p -= probability(zero >> 5)
	return true
}

// bitCosts are the bits that an event takes, by its probability in 2048ths.
var bitCosts = func() (costs [2049]float64) {
	for i := 1; i < len(costs); i++ {
		costs[i] = 11 - math.Log2(float64(i))
	}
	return costs
}()

func (d *rangeDecoder) direct(count int) (v int) {
	for range count {
		d.normalize()
		d.width >>= 1
		v <<= 1
		if d.code >= d.width {
			d.code -= d.width
			v |= 1
		}
		d.bits++
	}
	return v
}

// tree decodes a number, its highest bit first.
func (d *rangeDecoder) tree(p []probability, count int) int {
	v := 1
	for range count {
		v <<= 1
		if d.bit(&p[v>>1]) {
			v |= 1
		}
	}
	return v - 1<<count
}

// reverse decodes a number, its lowest bit first.
func (d *rangeDecoder) reverse(p []probability, count int) (v int) {
	m := 1
	for i := range count {
		m <<= 1
		if d.bit(&p[m>>1]) {
			m |= 1
			v |= 1 << i
		}
	}
	return v
}

// literal decodes a byte. After a repetition, the byte that would continue it predicts the bits.
func (d *rangeDecoder) literal(p []probability, out []byte, distance int, repeated bool) byte {
	v := 1
	if repeated {
		expected := int(out[len(out)-1-distance])
		for v < 0x100 {
			want := expected >> 7 & 1
			expected <<= 1
			v <<= 1
			if d.bit(&p[(1+want)<<8+v>>1]) {
				v |= 1
			}
			if want != v&1 {
				break
			}
		}
	}
	for v < 0x100 {
		v <<= 1
		if d.bit(&p[v>>1]) {
			v |= 1
		}
	}
	return byte(v)
}

func (d *rangeDecoder) distance(slots, special, align []probability) int {
	slot := d.tree(slots, 6)
	if slot < 4 {
		return slot
	}
	count := slot>>1 - 1
	distance := (2 | slot&1) << count
	if slot < 14 {
		return distance + d.reverse(special[distance-slot:], count)
	}
	return distance + d.direct(count-4)<<4 + d.reverse(align, 4)
}

type lengthDecoder struct {
	choice, choice2 probability
	low, middle     [1 << 4][1 << 3]probability
	high            [1 << 8]probability
}

func (l *lengthDecoder) decode(d *rangeDecoder, position int) int {
	if !d.bit(&l.choice) {
		return d.tree(l.low[position][:], 3)
	}
	if !d.bit(&l.choice2) {
		return 8 + d.tree(l.middle[position][:], 3)
	}
	return 16 + d.tree(l.high[:], 8)
}
