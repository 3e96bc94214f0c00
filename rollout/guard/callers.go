package guard

import (
	"math"
	"math/bits"
	"sync/atomic"
)

const (
	registers    = 1 << registerBits
	registerBits = 12
	rankBits     = 36 // bits of the position that a rank is made of
)

// Callers counts distinct callers by their bucket positions, in 4 KiB: exactly enough for a few
// hundred, to about 2 % beyond that. It is a HyperLogLog sketch, read as Ertl describes. Adding a
// caller allocates nothing and is safe while others do.
//
// The registers and ranks come from the low 48 bits of positions: the high ones say which arm a
// caller is in.
type Callers struct {
	ranks [registers / 4]atomic.Uint32 // four registers each
}

// Add counts the caller at a position.
func (c *Callers) Add(position uint64) {
	register := position % registers
	rank := uint32(bits.TrailingZeros64(position>>registerBits|1<<rankBits)) + 1
	word, shift := &c.ranks[register/4], register%4*8
	for {
		before := word.Load()
		if before>>shift&0xff >= rank {
			return
		}
		if word.CompareAndSwap(before, before&^(0xff<<shift)|rank<<shift) {
			return
		}
	}
}

// Count returns how many distinct callers were added, as far as that is known.
func (c *Callers) Count() int {
	var counts [rankBits + 2]int
	for i := range c.ranks {
		for word, n := c.ranks[i].Load(), 0; n < 4; n++ {
			counts[min(word&0xff, rankBits+1)]++
			word >>= 8
		}
	}
	if counts[0] == registers {
		return 0
	}
	sum := registers * sigma(float64(counts[0])/registers)
	for rank := 1; rank < len(counts); rank++ {
		sum += float64(counts[rank]) * math.Ldexp(1, -rank)
	}
	return int(math.Round(registers * registers / (2 * math.Ln2 * sum)))
}

// Merge adds the callers of another count.
func (c *Callers) Merge(other *Callers) {
	for i := range c.ranks {
		for {
			before, more := c.ranks[i].Load(), other.ranks[i].Load()
			if c.ranks[i].CompareAndSwap(before, highest(before, more)) {
				break
			}
		}
	}
}

// highest returns the greater of each of four registers.
func highest(a, b uint32) uint32 {
	var all uint32
	for shift := 0; shift < 32; shift += 8 {
		all |= max(a>>shift&0xff, b>>shift&0xff) << shift
	}
	return all
}

// sigma is x + sum over k >= 1 of x^(2^k) 2^(k-1): the correction for registers that are empty.
func sigma(x float64) float64 {
	total, weight := x, 1.0
	for {
		x *= x
		next := total + x*weight
		if next == total {
			return total
		}
		total, weight = next, 2*weight
	}
}
