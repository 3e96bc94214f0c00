package main

import (
	"math"
	"math/rand/v2"
)

// population is the callers of one service: few of them send most of the requests, and few of them
// have most of the failures.
type population struct {
	positions []uint64
	requests  *picker // a caller for each request
	failures  *picker // a caller for each failed one
	activity  []float64
	total     float64 // of the activity
}

const callersOfAService = 5000

// newPopulation draws callers. Activity and proneness to failures are Pareto distributed, with
// infinite variance.
func newPopulation(random *rand.Rand) *population {
	p := &population{positions: make([]uint64, callersOfAService), activity: make([]float64, callersOfAService)}
	failing := make([]float64, callersOfAService)
	for i := range p.positions {
		p.positions[i] = random.Uint64()
		p.activity[i] = pareto(random, 1.2)
		p.total += p.activity[i]
		failing[i] = p.activity[i] * pareto(random, 1.5)
	}
	p.requests = newPicker(p.activity)
	p.failures = newPicker(failing)
	return p
}

// taken returns the share of the requests that come from callers under a percentage.
func (p *population) taken(percent float64) float64 {
	sum := 0.0
	for i, position := range p.positions {
		if isTaken(position, percent) {
			sum += p.activity[i]
		}
	}
	return sum / p.total
}

func isTaken(position uint64, percent float64) bool {
	return float64(position) < percent/100*(1<<64)
}

// pareto draws from a Pareto distribution with a minimum of 1. One caller in 5,000 at the most has
// a thousand times that.
func pareto(random *rand.Rand, shape float64) float64 {
	return math.Pow(1-random.Float64(), -1/shape)
}

// picker draws indices in proportion to weights, by the alias method.
type picker struct {
	keep  []float64
	alias []int32
}

func newPicker(weights []float64) *picker {
	n := len(weights)
	p := &picker{keep: make([]float64, n), alias: make([]int32, n)}
	total := 0.0
	for _, w := range weights {
		total += w
	}
	var small, large []int
	for i, w := range weights {
		p.keep[i] = w * float64(n) / total
		if p.keep[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		p.alias[s] = int32(l)
		p.keep[l] -= 1 - p.keep[s]
		if p.keep[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) {
		p.keep[i] = 1
	}
	return p
}

func (p *picker) pick(random *rand.Rand) int {
	i := random.IntN(len(p.keep))
	if random.Float64() < p.keep[i] {
		return i
	}
	return int(p.alias[i])
}

// poisson draws from a Poisson distribution.
func poisson(random *rand.Rand, mean float64) int {
	if mean > 200 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*random.NormFloat64())))
	}
	n := 0
	for left := random.ExpFloat64(); left < mean; left += random.ExpFloat64() {
		n++
	}
	return n
}
