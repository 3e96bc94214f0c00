// Package forecast says before a release when its steps would begin, and how soon its guards would
// notice a bad version. It has neither rules nor a test of its own: rollout.Next moves the steps,
// and guard.Evidence is what finds a bad version.
package forecast

import (
	"math/rand/v2"
	"slices"

	"github.com/grayrelease/gray/rollout/guard"
)

// Worse is a release whose canary fails more often than stable, where every request has a caller of
// its own.
type Worse struct {
	Percent float64 // of the callers, who get the canary
	Stable  float64 // share of stable's requests that are bad, between 0 and 1
	Ratio   float64 // of the canary's share to stable's
}

// Find draws one such release, and returns how many requests the canary gets until the evidence
// (ln E) reaches a threshold, and whether it does within a number of the canary's requests.
func (w Worse) Find(tolerance, threshold float64, most int, random *rand.Rand) (requests int, found bool) {
	e := guard.NewEvidence(tolerance)
	e.Begin()
	for requests < most {
		canary := random.Float64()*100 < w.Percent
		share := w.Stable
		if canary {
			requests++
			share *= w.Ratio
		}
		if random.Float64() >= share {
			continue
		}
		b := guard.Bad{Position: random.Uint64(), Percent: w.Percent}
		if canary {
			b.Arm = guard.Canary
		}
		e.Add(b)
		if e.Counts().Log >= threshold {
			return requests, true
		}
	}
	return requests, false
}

// runs is how many releases a median is taken of.
const runs = 51

// Median returns how many requests the canary gets in the median of 51 releases until it is found,
// and whether that is fewer than a number. It draws the same releases each time.
func (w Worse) Median(tolerance, threshold float64, most int) (requests int, found bool) {
	took := make([]int, runs)
	missed := 0
	for i := range took {
		var isFound bool
		took[i], isFound = w.Find(tolerance, threshold, most, rand.New(rand.NewPCG(1, uint64(i))))
		if !isFound {
			if missed++; missed > runs/2 {
				return most, false
			}
		}
	}
	slices.Sort(took)
	return took[runs/2], true
}
