package routes

import (
	"math/big"
	"strconv"
)

// Share is the part of a route's requests that a version gets: its weight in the sum of all of the
// route's weights.
type Share struct {
	Version string
	Weight  uint32
}

// maxTotal is the largest sum of weights; Gateway API allows no larger weight.
const maxTotal = 1_000_000

// percentRat is a percentage between 0 and 1, exactly as its decimal form.
func percentRat(percent float64) *big.Rat {
	exact, ok := new(big.Rat).SetString(strconv.FormatFloat(percent, 'f', -1, 64))
	if !ok {
		return new(big.Rat)
	}
	return exact.Mul(exact, big.NewRat(1, 100))
}

// draw is what is left of a route's requests while rules take their percentages, one after the
// other. Rules with the same salt ask about the same position of a caller, so the second of them
// takes only what is above the first; others are independent.
type draw struct {
	taken    map[string]*big.Rat // by salt: positions below are gone
	versions map[string]*big.Rat
}

func newDraw() *draw {
	return &draw{taken: map[string]*big.Rat{}, versions: map[string]*big.Rat{}}
}

func (d *draw) copy() *draw {
	other := newDraw()
	for salt, taken := range d.taken {
		other.taken[salt] = taken
	}
	for version, share := range d.versions {
		other.versions[version] = share
	}
	return other
}

// left is the part that no rule has taken, leaving one salt out of account.
func (d *draw) left(without string) *big.Rat {
	left := big.NewRat(1, 1)
	for salt, taken := range d.taken {
		if salt != without {
			left.Mul(left, new(big.Rat).Sub(big.NewRat(1, 1), taken))
		}
	}
	return left
}

func (d *draw) add(version string, share *big.Rat) {
	sum := new(big.Rat)
	if have := d.versions[version]; have != nil {
		sum.Set(have)
	}
	d.versions[version] = sum.Add(sum, share)
}

// take has a rule take its portions.
func (d *draw) take(p *piece) {
	taken := new(big.Rat)
	if have := d.taken[p.salt]; have != nil {
		taken.Set(have)
	}
	left := d.left(p.salt)
	if len(p.portions) == 1 { // from position 0
		share := new(big.Rat).Sub(p.portions[0].share, taken)
		if share.Sign() < 0 {
			share.SetInt64(0)
		}
		d.add(p.portions[0].version, new(big.Rat).Mul(share, left))
		d.taken[p.salt] = taken.Add(taken, share)
		return
	}
	for _, portion := range p.portions { // nothing else has this salt
		d.add(portion.version, new(big.Rat).Mul(portion.share, left))
		taken.Add(taken, portion.share)
	}
	d.taken[p.salt] = taken
}

// finish gives what is left to a version, and returns the shares in whole numbers: the others in
// the order given, and that version last. It reports whether they had to be rounded.
func (d *draw) finish(rest string, order []string) (shares []Share, isRounded bool) {
	d.add(rest, d.left(""))
	var exact []*big.Rat
	for _, version := range append(append([]string(nil), order...), rest) {
		share := d.versions[version]
		if share == nil {
			continue
		}
		shares = append(shares, Share{Version: version})
		exact = append(exact, share)
	}
	if len(shares) == 1 {
		shares[0].Weight = 100
		return shares, false
	}
	total := totalFor(exact)
	isRounded = total == 0
	if isRounded {
		total = maxTotal
	}
	weights := inWholes(exact, total)
	for i := range shares {
		shares[i].Weight = uint32(weights[i])
	}
	return shares, isRounded
}

// totalFor returns a sum of weights with which all shares are whole numbers, 0 if that needs more
// than maxTotal. It prefers powers of ten from 100.
func totalFor(shares []*big.Rat) int64 {
	common := big.NewInt(1)
	for _, share := range shares {
		d := share.Denom()
		common.Mul(common, new(big.Int).Div(d, new(big.Int).GCD(nil, nil, common, d)))
		if common.Cmp(big.NewInt(maxTotal)) > 0 {
			return 0
		}
	}
	for total := int64(100); total <= maxTotal; total *= 10 {
		if total%common.Int64() == 0 {
			return total
		}
	}
	return common.Int64()
}

// inWholes rounds shares of a total to whole numbers with that sum: down, and those up that lose
// most.
func inWholes(shares []*big.Rat, total int64) []int64 {
	weights := make([]int64, len(shares))
	lost := make([]*big.Rat, len(shares))
	missing := total
	for i, share := range shares {
		exact := new(big.Rat).Mul(share, new(big.Rat).SetInt64(total))
		weights[i] = new(big.Int).Quo(exact.Num(), exact.Denom()).Int64()
		lost[i] = exact.Sub(exact, new(big.Rat).SetInt64(weights[i]))
		missing -= weights[i]
	}
	for ; missing > 0; missing-- {
		most := 0
		for i := range lost {
			if lost[i].Cmp(lost[most]) > 0 {
				most = i
			}
		}
		weights[most]++
		lost[most] = new(big.Rat)
	}
	return weights
}

// SharesOf returns the weights of a version with a percentage and of one that gets the rest, in
// whole numbers.
func SharesOf(percent float64, version, rest string) []Share {
	d := newDraw()
	d.take(&piece{salt: version, portions: []portion{{version, percentRat(percent)}}})
	shares, _ := d.finish(rest, []string{version})
	return shares
}
