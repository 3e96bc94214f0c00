package guard

import (
	"math"
	"sync"
)

// Arm says which of the two groups that are compared a caller belongs to. Only callers who reached
// the bucket of the rollout's rule belong to one: testers and staff are no random sample.
type Arm uint8

const (
	// Control are the callers whom the bucket did not take: they get the stable version.
	Control Arm = iota
	// Canary are the callers whom the bucket took, even where stable stepped in for a dead canary.
	Canary
)

const (
	// maxCallers is how many bad callers evidence keeps. Then it waits for its next generation.
	maxCallers = 1 << 16
	// leastCounted is how many bad callers a generation has, unless nobody new is bad.
	leastCounted = 100
	// maxShares is how many different percentages evidence keeps.
	maxShares = 1 << 12
)

// Bad is a caller's first bad event.
type Bad struct {
	// Position of the caller in the bucket.
	Position uint64
	// Percent of the callers that the canary got when the event's request was decided.
	Percent float64
	Arm     Arm
}

// Evidence is what says that the canary is worse than stable, in one attempt. It is safe for
// concurrent use and takes at most 2 MiB.
//
// A caller counts once a generation. When about everybody who can be bad has been counted, as soon
// happens where the share of bad requests is high or the callers are few, another generation begins
// and forgets them. Whether it does depends on both arms together, so that it says nothing about
// either of them.
type Evidence struct {
	tolerance float64

	mu      sync.Mutex
	seen    positions
	kinds   []uint16 // of each caller in seen
	begun   []int    // how many callers were seen when each step began
	shares  []share
	arms    [2]int // callers seen, by arm
	again   int    // callers seen who were bad again
	process process
	well    float64 // ln of the likelihood of r0 over that of 2 r0, since the step began

	highest    float64 // ln E, of all times
	generation int     // from 1
	before     int     // callers seen in the generations before
}

// A kind has the arm of a caller in its lowest bit, whether the caller was bad again in the next
// one, and the index of the share in the others.
const (
	kindAgain = 2
	kindShare = 4
)

// share is one percentage, with what events under it mean.
type share struct {
	percent float64
	odds    odds
	well    [2]float64 // by arm
}

// NewEvidence returns evidence without any callers. The tolerance is how many times as bad as
// stable the canary may be: 1 or more.
func NewEvidence(tolerance float64) *Evidence {
	return &Evidence{tolerance: max(tolerance, 1), generation: 1}
}

// Begin notes that a step begins: a fresh copy of the test starts.
func (e *Evidence) Begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begin()
}

func (e *Evidence) begin() {
	e.well = 0
	if n := len(e.begun); n > 0 && e.begun[n-1] == len(e.kinds) {
		return // nothing has happened since the last copy started
	}
	e.begun = append(e.begun, len(e.kinds))
	e.process.restart()
}

// Turn begins another generation if it is time to. It is to be called about once a minute.
func (e *Evidence) Turn() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.kinds); n == maxCallers || n >= leastCounted && 2*e.again >= n {
		e.renew()
	}
}

func (e *Evidence) renew() {
	e.generation++
	e.before += len(e.kinds)
	e.seen = positions{}
	e.kinds = nil
	e.begun = nil
	e.shares = nil
	e.arms = [2]int{}
	e.again = 0
	e.process = process{}
	e.well = 0
}

// Add counts a bad event, and reports whether it did: only a caller's first one counts. Nothing can
// be learnt while the canary gets no callers or all of them.
func (e *Evidence) Add(b Bad) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.add(b)
}

func (e *Evidence) add(b Bad) bool {
	if !(b.Percent > 0 && b.Percent < 100) || b.Arm > Canary {
		return false
	}
	if known := e.seen.index(b.Position); known >= 0 {
		if e.kinds[known]&kindAgain == 0 {
			e.kinds[known] |= kindAgain
			e.again++
		}
		return false
	}
	if len(e.kinds) >= maxCallers {
		return false
	}
	i := e.share(b.Percent)
	if i < 0 {
		return false
	}
	e.seen.add(b.Position)
	e.kinds = append(e.kinds, uint16(kindShare*i)|uint16(b.Arm))
	e.arms[b.Arm]++
	s := &e.shares[i]
	e.process.add(&s.odds, b.Arm == Canary)
	e.well += s.well[b.Arm]
	if b.Arm == Canary { // else E falls
		e.highest = max(e.highest, e.log())
	}
	return true
}

func (e *Evidence) log() float64 { return weight(e.generation) + e.process.log() }

// share returns the index of a percentage, -1 if there are too many.
func (e *Evidence) share(percent float64) int {
	for i := len(e.shares) - 1; i >= 0; i-- {
		if e.shares[i].percent == percent {
			return i
		}
	}
	if len(e.shares) == maxShares {
		return -1
	}
	p := percent / 100
	s := share{percent: percent, odds: newOdds(p, e.tolerance)}
	s.well[Control] = math.Log((1 + p*(2*e.tolerance-1)) / (1 + p*(e.tolerance-1)))
	s.well[Canary] = s.well[Control] - math.Ln2
	e.shares = append(e.shares, s)
	return len(e.shares) - 1
}

// Merge adds the callers of other evidence, such as another gateway's, in the order in which they
// came there. A caller who is known counts once.
func (e *Evidence) Merge(other *Evidence) {
	more, _ := other.Since(0)
	for _, b := range more {
		e.Add(b)
	}
}

// Since returns the callers who were counted after the first n, and how many that are in all: what
// a gateway has to report to whoever adds up the evidence of several. Those of generations before
// are forgotten.
func (e *Evidence) Since(n int) ([]Bad, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Bad
	for i := max(n-e.before, 0); i < len(e.kinds); i++ {
		list = append(list, e.bad(i))
	}
	return list, e.before + len(e.kinds)
}

func (e *Evidence) bad(i int) Bad {
	kind := e.kinds[i]
	return Bad{Position: e.seen.list[i], Percent: e.shares[kind/kindShare].percent, Arm: Arm(kind & 1)}
}

// Counts are what evidence adds up to at one moment.
type Counts struct {
	// Log is ln E, and Highest the highest that it has been, or 0. That reaches ln 1/alpha with a
	// probability of at most alpha if the canary is no worse than tolerated.
	Log, Highest float64
	// Well is the same for the opposite: it reaches ln 1/alpha with a probability of at most alpha
	// if the canary is twice as bad as tolerated, or worse. It starts at 0 with each step.
	Well float64
	// Bad callers who were counted in this generation, by arm.
	Bad [2]int
	// Generation counts from 1.
	Generation int
}

// Counts returns what the evidence adds up to.
func (e *Evidence) Counts() Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Counts{
		Log: e.log(), Highest: e.highest, Well: e.well, Bad: e.arms, Generation: e.generation,
	}
}

// weight is ln of the share of alpha that a generation has: 4/5 the first one, and the others, g -
// 1 = 1, 2 and so on, 1/5 of 1/(g(g-1)). Together they are 1.
func weight(generation int) float64 {
	if generation <= 1 {
		return math.Log(0.8)
	}
	return math.Log(0.2) - math.Log(float64(generation)) - math.Log(float64(generation-1))
}
