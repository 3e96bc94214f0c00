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
	// maxCallers is how many bad callers of an arm evidence keeps. Once an arm has them it counts
	// no more, in either arm.
	maxCallers = 1 << 16
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
// concurrent use and takes at most 4 MiB.
type Evidence struct {
	tolerance float64

	mu      sync.Mutex
	seen    positions
	kinds   []uint16 // of each caller in seen: twice the index of the share, and the arm
	begun   []int    // how many callers were seen when each step began
	shares  []share
	arms    [2]int // callers seen, by arm
	step    [2]int // of these, since the step began
	process process
	well    float64 // ln of the likelihood of r0 over that of 2 r0, since the step began
}

// share is one percentage, with what events under it mean.
type share struct {
	percent float64
	odds    odds
	well    [2]float64 // by arm
}

// NewEvidence returns evidence without any callers. The tolerance is how many times as bad as
// stable the canary may be: 1 or more.
func NewEvidence(tolerance float64) *Evidence {
	return &Evidence{tolerance: max(tolerance, 1)}
}

// Begin notes that a step begins: a fresh copy of the test starts.
func (e *Evidence) Begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begin()
}

func (e *Evidence) begin() {
	e.step = [2]int{}
	e.well = 0
	if n := len(e.begun); n > 0 && e.begun[n-1] == len(e.kinds) {
		return // nothing has happened since the last copy started
	}
	e.begun = append(e.begun, len(e.kinds))
	e.process.restart()
}

// Add counts a bad event, and reports whether it did: only a caller's first one counts. Nothing can
// be learnt while the canary gets no callers or all of them.
func (e *Evidence) Add(b Bad) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.add(b)
}

func (e *Evidence) add(b Bad) bool {
	if !(b.Percent > 0 && b.Percent < 100) || b.Arm > Canary || e.isFull() || e.seen.index(b.Position) >= 0 {
		return false
	}
	i := e.share(b.Percent)
	if i < 0 {
		return false
	}
	e.seen.add(b.Position)
	e.kinds = append(e.kinds, uint16(2*i)|uint16(b.Arm))
	e.arms[b.Arm]++
	e.step[b.Arm]++
	s := &e.shares[i]
	e.process.add(&s.odds, b.Arm == Canary)
	e.well += s.well[b.Arm]
	return true
}

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

func (e *Evidence) isFull() bool {
	return e.arms[Control] >= maxCallers || e.arms[Canary] >= maxCallers
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
// a gateway has to report to whoever adds up the evidence of several.
func (e *Evidence) Since(n int) ([]Bad, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Bad
	for i := max(n, 0); i < len(e.kinds); i++ {
		list = append(list, e.bad(i))
	}
	return list, len(e.kinds)
}

func (e *Evidence) bad(i int) Bad {
	kind := e.kinds[i]
	return Bad{Position: e.seen.list[i], Percent: e.shares[kind/2].percent, Arm: Arm(kind % 2)}
}

// Counts are what evidence adds up to at one moment.
type Counts struct {
	// Log is ln E, which reaches ln 1/alpha with a probability of at most alpha if the canary is no
	// worse than tolerated.
	Log float64
	// Well is the same for the opposite: it reaches ln 1/alpha with a probability of at most alpha
	// if the canary is twice as bad as tolerated, or worse. It starts at 0 with each step.
	Well float64
	// Bad callers since the attempt and since the step began, by arm.
	Attempt, Step [2]int
	// IsFull reports that no further caller is counted.
	IsFull bool
}

// Counts returns what the evidence adds up to.
func (e *Evidence) Counts() Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Counts{Log: e.process.log(), Well: e.well, Attempt: e.arms, Step: e.step, IsFull: e.isFull()}
}
