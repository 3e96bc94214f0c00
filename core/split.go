package core

import (
	"math/big"
	"sort"
	"strconv"

	"github.com/grayrelease/gray/core/problem"
)

// split is a rule that gives several versions, each to its portion of callers. One position
// decides, see bucket: each version has a range of positions, and who is in none of them is not
// taken.
//
// A range keeps its place when others grow: that of the first version begins at 0, that of the
// second ends at 100 %, that of the third lies around the middle, and so on through the quarters
// and eighths. So what a range grows by is stable's. A range is moved only where another one grows
// into it, and then by as much as that.
type split struct {
	bucket   *bucket // for positions; it has no threshold
	portions []*portion
	total    float64
}

// portion is the range of one version, from begin up to, not including, end.
type portion struct {
	percent    float64
	begin, end *big.Int
	low, high  string // begin and end as the 8 bytes of a position; high "" is 2^64
	decision   *Decision
	withdrawn  bool // the version is, so that the rule does not match here
}

// newSplit makes the split of a rule. Versions with nothing have no range, but keep their place.
func newSplit(salt string, given map[string]float64, rule, stable string) *split {
	s := &split{bucket: &bucket{salt: salt, prefix: salt + "\x00"}}
	names := splitOrder(given)
	begins, widths := rangesOf(names, given)
	total := new(big.Rat)
	for i, name := range names {
		total.Add(total, widths[i])
		if given[name] == 0 {
			continue
		}
		end := new(big.Rat).Add(begins[i], widths[i])
		p := &portion{
			percent: given[name], begin: positionOf(begins[i]), end: positionOf(end),
			decision: newDecision(name, rule, stable),
		}
		p.low = positionBytes(p.begin)
		if p.end.BitLen() <= 64 {
			p.high = positionBytes(p.end)
		}
		s.portions = append(s.portions, p)
	}
	s.total, _ = total.Mul(total, big.NewRat(100, 1)).Float64()
	return s
}

// portionOf returns the portion that takes the caller of that identity, nil if none does.
func portionOf(s *split, id string) *portion {
	sum := digest(s.bucket.prefix, id)
	at := string(sum[:8])
	for _, p := range s.portions {
		if at >= p.low && (at < p.high || p.high == "") {
			return p
		}
	}
	return nil
}

// inSplit returns the portion that takes the caller, nil if none does.
func inSplit(e *Engine, c *Caller, s *split) *portion {
	c.asked = s.bucket
	c.id = bucketID(e, c)
	if c.id == "" {
		return nil
	}
	taken := portionOf(s, c.id)
	if taken == nil || taken.withdrawn {
		return nil
	}
	return taken
}

// rangesOf lays out the ranges of versions in order, each as its beginning and its width between 0
// and 1.
func rangesOf(names []string, given map[string]float64) (begins, widths []*big.Rat) {
	var order []int
	for i, name := range names {
		width := shareRat(given[name])
		rest := new(big.Rat).Sub(big.NewRat(1, 1), width)
		begins = append(begins, rest.Mul(rest, place(i)))
		widths = append(widths, width)
		order = append(order, i)
	}
	sort.Slice(order, func(a, b int) bool { return place(order[a]).Cmp(place(order[b])) < 0 })
	end := new(big.Rat)
	for _, i := range order { // what is grown into moves up
		if begins[i].Cmp(end) < 0 {
			begins[i] = end
		}
		end = new(big.Rat).Add(begins[i], widths[i])
	}
	limit := big.NewRat(1, 1)
	for k := len(order) - 1; k >= 0; k-- { // and down again, where there is no more room
		i := order[k]
		if last := new(big.Rat).Sub(limit, widths[i]); begins[i].Cmp(last) > 0 {
			begins[i] = last
		}
		limit = begins[i]
	}
	return begins, widths
}

// place is where the range of the i-th version lies: 0, 1, 1/2, 1/4, 3/4, 1/8, 5/8 and so on. A
// range at p is p of its width below p, and the rest above.
func place(i int) *big.Rat {
	if i < 2 {
		return big.NewRat(int64(i), 1)
	}
	at, half := new(big.Rat), big.NewRat(1, 2)
	digit := big.NewRat(1, 2)
	for n := i - 1; n > 0; n /= 2 {
		if n%2 == 1 {
			at.Add(at, digit)
		}
		digit = new(big.Rat).Mul(digit, half)
	}
	return at
}

// shareRat is a percentage between 0 and 1, exactly as its decimal form.
func shareRat(percent float64) *big.Rat {
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(percent, 'f', -1, 64))
	return exact.Mul(exact, big.NewRat(1, 100))
}

// positionOf is the least whole number not under 2^64 times a number between 0 and 1.
func positionOf(at *big.Rat) *big.Int {
	exact := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), 64))
	exact.Mul(exact, at)
	whole, rest := new(big.Int).QuoRem(exact.Num(), exact.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	return whole
}

// positionBytes writes a position of 64 bits as bytes, which compare as strings do.
func positionBytes(position *big.Int) string {
	return string(position.FillBytes(make([]byte, 8)))
}

// splitOrder returns the names of a split's versions in their order, in which v9 is before v10:
// digits compare as numbers.
func splitOrder(given map[string]float64) []string {
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	sort.Slice(names, func(a, b int) bool { return isNameBefore(names[a], names[b]) })
	return names
}

func isNameBefore(a, b string) bool {
	x, y := a, b
	for x != "" && y != "" {
		n, m := digitsOf(x), digitsOf(y)
		if n != "" && m != "" {
			if c := compareDigits(withoutZeros(n), withoutZeros(m)); c != 0 {
				return c < 0
			}
			x = x[len(n):]
			y = y[len(m):]
			continue
		}
		if x[0] != y[0] {
			return x[0] < y[0]
		}
		x = x[1:]
		y = y[1:]
	}
	if x == "" && y == "" {
		return a < b // equal but for zeros
	}
	return x == ""
}

func digitsOf(s string) string {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	return s[:end]
}

func withoutZeros(digits string) string {
	for digits != "" && digits[0] == '0' {
		digits = digits[1:]
	}
	return digits
}

// split checks a rule's split, and reports whether it can be used.
func (c *checker) split(r *Rule, path string) bool {
	before := len(c.problems)
	if r.Version != "" {
		c.note(path+".version", "is given beside split, which names the versions: keep one of the two")
	}
	if r.Percent != nil {
		c.note(path+".percent", "is given beside split, which has the percentages: keep one of the two")
	}
	total := new(big.Rat)
	for _, name := range splitOrder(r.Split) {
		at := problem.Field(path+".split", name)
		percent := r.Split[name]
		c.version(at, name)
		if !isPercent(percent) {
			c.note(at, "must be from 0 to 100, is "+strconv.FormatFloat(percent, 'g', -1, 64))
			continue
		}
		if name == c.policy.Stable && percent > 0 {
			c.note(at, "is the stable version, which gets what the others leave: leave it out")
		}
		total.Add(total, shareRat(percent))
	}
	if total.Cmp(big.NewRat(1, 1)) > 0 {
		exact := total.Mul(total, big.NewRat(100, 1))
		c.note(path+".split", "the percentages add up to more than 100, to "+withoutEndZeros(exact.FloatString(6)))
	}
	return len(c.problems) == before
}

// withoutEndZeros shortens a decimal number with a point.
func withoutEndZeros(number string) string {
	for number[len(number)-1] == '0' {
		number = number[:len(number)-1]
	}
	if number[len(number)-1] == '.' {
		number = number[:len(number)-1]
	}
	return number
}

// Versions returns the versions that the rule may give, in order.
func (r *Rule) Versions() []string {
	if len(r.Split) > 0 {
		return splitOrder(r.Split)
	}
	return []string{r.Version}
}

// withoutVersions returns a split some of whose versions are withdrawn.
func withoutVersions(s *split, withdrawn []string) *split {
	changed := &split{}
	*changed = *s
	changed.portions = nil
	for _, p := range s.portions {
		other := &portion{}
		*other = *p
		other.withdrawn = indexOf(withdrawn, p.decision.Version) >= 0
		changed.portions = append(changed.portions, other)
	}
	return changed
}
