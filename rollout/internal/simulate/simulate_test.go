package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// quick is how much is simulated in tests; the command simulates more.
func quick() settings {
	if testing.Short() {
		return settings{releases: 40, detections: 21, seed: 1}
	}
	return settings{releases: 1000, detections: 401, seed: 1}
}

// Releases in which the versions do not differ go back as rarely as promised.
func TestFalseRollbacks(t *testing.T) {
	s := quick()
	n := float64(s.releases)
	for _, plan := range plans {
		f := runPlan(plan, s)
		assert.LessOrEqual(t, float64(f.percent1), n/100+3*math.Sqrt(n/100), plan.name)
		assert.LessOrEqual(t, float64(f.permille1), n/1000+3*math.Sqrt(n/1000), plan.name)
		assert.Greater(t, f.requests, s.releases/20, "%s: requests are no independent draws", plan.name)
	}
}

// Releases that are worse go back as soon as promised, give or take what few simulations leave
// open.
func TestDetection(t *testing.T) {
	s := quick()
	slack := 1 + 1/math.Sqrt(float64(s.detections))
	for _, w := range releases {
		assert.LessOrEqual(t, float64(runDetection(w, 1, s).median), float64(w.most)*slack, w.name)
		if w.most25 > 0 {
			assert.LessOrEqual(t, float64(runDetection(w, 1.25, s).median), float64(w.most25)*(slack+0.05), w.name)
		}
	}
}

func TestReport(t *testing.T) {
	var out [2]strings.Builder
	for i := range out {
		require.NoError(t, report(&out[i], settings{releases: 2, detections: 1, seed: 7}))
	}
	assert.Equal(t, out[0].String(), out[1].String(), "the seed says it all")
	assert.NotContains(t, out[0].String(), "%!")
}

func TestDraws(t *testing.T) {
	random := settings{seed: 1}.random(0)
	p := newPicker([]float64{1, 0, 3, 4})
	var got [4]int
	for range 80000 {
		got[p.pick(random)]++
	}
	for i, want := range []int{10000, 0, 30000, 40000} {
		assert.InDelta(t, want, got[i], 600)
	}
	for _, mean := range []float64{0, 0.5, 20, 1000} {
		sum := 0
		for range 2000 {
			sum += poisson(random, mean)
		}
		assert.InDelta(t, mean, float64(sum)/2000, 0.1*math.Sqrt(mean)+1e-9)
	}
}
