package guard

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// add lets n fresh callers of an arm be bad.
func add(e *Evidence, random *rand.Rand, percent float64, arm Arm, n int) {
	for range n {
		e.Add(Bad{Position: random.Uint64(), Percent: percent, Arm: arm})
	}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// The process is the formula of the package's documentation, with copies computed one by one.
func TestProcessIsTheFormula(t *testing.T) {
	random := seeded(1)
	for _, tolerance := range []float64{1, 1.25, 3} {
		e := NewEvidence(tolerance)
		type event struct {
			p      float64
			canary bool
		}
		var events []event
		var starts []int
		last := 0
		for i := range 1500 {
			p := []float64{0.01, 0.05, 0.5}[i/500]
			if i%500 == 0 {
				e.Begin()
				starts, last = append(starts, i), i
			} else if i-last == perCopy {
				starts, last = append(starts, i), i
			}
			b := Bad{Position: random.Uint64(), Percent: p * 100, Arm: Arm(random.IntN(2))}
			require.True(t, e.Add(b))
			events = append(events, event{p, b.Arm == Canary})
		}
		want := math.Inf(-1)
		cash := 1.0
		for j, start := range starts {
			weight := 1 / float64((j+1)*(j+2))
			cash -= weight
			for _, multiple := range []float64{1.3, 1.7, 2.5, 5, 10, 30, 100} {
				r := tolerance * multiple
				k := 0.0
				n := map[float64]float64{}
				for _, ev := range events[start:] {
					n[ev.p]++
					if ev.canary {
						k++
					}
				}
				ln := k * math.Log(r/tolerance)
				for p, count := range n {
					ln -= count * math.Log((1+p*(r-1))/(1+p*(tolerance-1)))
				}
				want = logAdd(want, math.Log(weight/7)+ln)
			}
		}
		want = math.Log(0.8) + logAdd(want, math.Log(cash))
		assert.InDelta(t, want, e.Counts().Log, 1e-6*math.Abs(want))
	}
}

func TestNoEvidenceIsNone(t *testing.T) {
	e := NewEvidence(1)
	assert.Equal(t, math.Log(0.8), e.Counts().Log)
	e.Begin()
	assert.InDelta(t, math.Log(0.8), e.Counts().Log, 1e-12)
}

func TestCallerCountsOnce(t *testing.T) {
	e := NewEvidence(1)
	assert.True(t, e.Add(Bad{Position: 7, Percent: 1, Arm: Canary}))
	before := e.Counts()
	for range 1000 {
		assert.False(t, e.Add(Bad{Position: 7, Percent: 1, Arm: Canary}))
		assert.False(t, e.Add(Bad{Position: 7, Percent: 5, Arm: Control}), "in the other arm neither")
	}
	assert.Equal(t, before, e.Counts())
	assert.Equal(t, [2]int{0, 1}, e.Counts().Bad)
}

func TestNothingIsLearntWithoutTwoArms(t *testing.T) {
	e := NewEvidence(1)
	for _, percent := range []float64{0, 100, -1, 101, math.NaN(), math.Inf(1)} {
		assert.False(t, e.Add(Bad{Position: 1, Percent: percent, Arm: Canary}), "%v", percent)
	}
	assert.False(t, e.Add(Bad{Position: 1, Percent: 5, Arm: 2}))
	assert.Zero(t, e.Counts().Bad)
}

func TestSteps(t *testing.T) {
	e := NewEvidence(1)
	e.Begin()
	add(e, seeded(1), 1, Control, 90)
	add(e, seeded(2), 1, Canary, 2)
	assert.NotZero(t, e.Counts().Well)
	e.Begin()
	e.Begin()
	assert.Len(t, e.begun, 2, "a step in which nothing happened takes no weight")
	assert.Zero(t, e.Counts().Well)
	assert.Equal(t, [2]int{90, 2}, e.Counts().Bad)
}

func TestWellIsTheOpposite(t *testing.T) {
	e := NewEvidence(1)
	e.Begin()
	add(e, seeded(1), 50, Control, 40)
	add(e, seeded(2), 50, Canary, 40)
	assert.Greater(t, e.Counts().Well, math.Log(20))
	assert.Less(t, e.Counts().Log, 0.0)
	add(e, seeded(3), 50, Canary, 40)
	assert.Less(t, e.Counts().Well, 0.0)
}

func TestEvidenceIsBounded(t *testing.T) {
	e := NewEvidence(1)
	add(e, seeded(1), 50, Control, 70000)
	assert.Equal(t, [2]int{65536, 0}, e.Counts().Bad)
	before := e.Counts()
	add(e, seeded(2), 50, Canary, 1000)
	assert.Equal(t, before, e.Counts(), "when it is full, it is so for both arms")
	e.Turn()
	assert.Equal(t, 2, e.Counts().Generation)
	add(e, seeded(2), 50, Canary, 1000)
	assert.Equal(t, [2]int{0, 1000}, e.Counts().Bad)
	more, n := e.Since(66000)
	assert.Equal(t, 66536, n)
	assert.Len(t, more, 536)

	many := NewEvidence(1)
	for i := range 5000 {
		many.Add(Bad{Position: uint64(i), Percent: float64(i+1) / 100, Arm: Control})
	}
	assert.Equal(t, maxShares, many.Counts().Bad[Control])
}

// When half of the callers have been bad again there is not much to be learnt from the others.
func TestGenerations(t *testing.T) {
	e := NewEvidence(1)
	e.Begin()
	add(e, seeded(1), 5, Control, 400)
	e.Turn()
	assert.Equal(t, 1, e.Counts().Generation)
	for range 3 {
		add(e, seeded(1), 5, Control, 199)
	}
	e.Turn()
	assert.Equal(t, 1, e.Counts().Generation, "who is bad often is still one")
	add(e, seeded(1), 5, Control, 200)
	assert.Equal(t, [2]int{400, 0}, e.Counts().Bad)
	e.Turn()
	assert.Equal(t, Counts{Log: math.Log(0.1), Generation: 2}, e.Counts())
	add(e, seeded(8), 5, Canary, 10)
	high := e.Counts()
	assert.Equal(t, high.Log, high.Highest)
	add(e, seeded(9), 5, Control, 300)
	assert.Less(t, e.Counts().Log, high.Highest)
	assert.Equal(t, high.Highest, e.Counts().Highest, "what was enough once is enough")
	add(e, seeded(1), 5, Canary, 200)
	assert.Equal(t, [2]int{300, 210}, e.Counts().Bad)
	few := NewEvidence(1)
	for range 3 {
		add(few, seeded(1), 5, Control, 99)
		few.Turn()
	}
	assert.Equal(t, 1, few.Counts().Generation)

	sum := 0.0
	for generation := range 100000 {
		sum += math.Exp(weight(generation + 1))
	}
	assert.InDelta(t, 1, sum, 1e-5)
	assert.Less(t, sum, 1.0)
}

func TestEvidenceIsKept(t *testing.T) {
	random := seeded(3)
	e := NewEvidence(1.25)
	for i := range 3000 {
		if i%700 == 0 {
			e.Begin()
		}
		e.Add(Bad{Position: random.Uint64(), Percent: []float64{1, 5, 20}[i/1000], Arm: Arm(random.IntN(2))})
	}
	e.Begin()
	e.Turn()
	add(e, seeded(9), 20, Control, 300)
	add(e, seeded(9), 20, Control, 149)
	data, err := e.MarshalBinary()
	require.NoError(t, err)
	again := &Evidence{}
	require.NoError(t, again.UnmarshalBinary(data))
	assert.Equal(t, e.Counts(), again.Counts())
	add(e, seeded(4), 20, Canary, 500)
	add(again, seeded(4), 20, Canary, 500)
	assert.Equal(t, e.Counts(), again.Counts(), "and goes on alike")
	assert.Equal(t, e.again, again.again)
	for i := 0; i < len(data); i += 1 + i/20 {
		assert.Error(t, (&Evidence{}).UnmarshalBinary(data[:i]))
	}
}

func FuzzEvidence(f *testing.F) {
	e := NewEvidence(1.5)
	e.Begin()
	add(e, seeded(1), 5, Canary, 3)
	e.Begin()
	add(e, seeded(2), 25, Control, 3)
	data, err := e.MarshalBinary()
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte{codecVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		e := &Evidence{}
		if e.UnmarshalBinary(data) != nil {
			require.Zero(t, e.tolerance, "what is refused changes nothing")
			return
		}
		require.False(t, math.IsNaN(e.Counts().Log))
		again, err := e.MarshalBinary()
		require.NoError(t, err)
		f := &Evidence{}
		require.NoError(t, f.UnmarshalBinary(again))
		require.Equal(t, e.Counts(), f.Counts())
	})
}

// Whoever adds up the evidence of gateways gets what one gateway would have got.
func TestMerge(t *testing.T) {
	random := seeded(5)
	one, a, b, all := NewEvidence(1), NewEvidence(1), NewEvidence(1), NewEvidence(1)
	for range 150 {
		event := Bad{Position: random.Uint64(), Percent: 5, Arm: Arm(random.IntN(2))}
		one.Add(event)
		a.Add(event)
		if random.IntN(2) == 0 {
			b.Add(event)
		}
	}
	all.Merge(a)
	all.Merge(b)
	assert.Equal(t, one.Counts(), all.Counts())

	known := 0
	gathered := NewEvidence(1)
	for known < 150 {
		more, n := a.Since(known)
		for _, event := range more[:min(len(more), 40)] {
			gathered.Add(event)
			known++
		}
		require.Equal(t, 150, n)
	}
	assert.Equal(t, one.Counts(), gathered.Counts())
}

func TestEvidenceIsSafe(t *testing.T) {
	e := NewEvidence(1)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			random := seeded(uint64(worker % 4)) // each caller twice
			for range 500 {
				e.Add(Bad{Position: random.Uint64(), Percent: 5, Arm: Control})
				e.Counts()
			}
		})
	}
	group.Wait()
	assert.Equal(t, [2]int{2000, 0}, e.Counts().Bad)
}

func TestCallers(t *testing.T) {
	random := seeded(6)
	for _, n := range []int{0, 1, 10, 100, 200, 1000, 10000, 20000, 100000, 1000000} {
		all, half, rest := &Callers{}, &Callers{}, &Callers{}
		for i := range n {
			position := random.Uint64() / 100 // a canary of 1 %
			all.Add(position)
			all.Add(position)
			if i%2 == 0 {
				half.Add(position)
			} else {
				rest.Add(position)
			}
		}
		within := 0.05*float64(n) + 0.5
		assert.InDelta(t, n, all.Count(), within)
		half.Merge(rest)
		assert.Equal(t, all.Count(), half.Count())
	}
}
