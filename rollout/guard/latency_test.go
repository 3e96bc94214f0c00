package guard

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuckets(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < 20*time.Minute; d += d/70 + 1 {
		i := bucketOf(d)
		require.GreaterOrEqual(t, i, last)
		require.LessOrEqual(t, i-max(last, 0), 1, "%s", d)
		last = i
		if i < buckets-1 {
			require.LessOrEqual(t, d, upperEnd(i))
			require.Equal(t, i, bucketOf(upperEnd(i)))
			require.Equal(t, i+1, bucketOf(upperEnd(i)+1))
		}
	}
	assert.Equal(t, buckets-1, bucketOf(math.MaxInt64))
	assert.Zero(t, bucketOf(-1))
}

func TestLatency(t *testing.T) {
	l := NewLatency()
	for i := range 1000 {
		l.Add(time.Duration(i+1) * time.Millisecond)
	}
	assert.Zero(t, l.Quantile(0.9), "the minute is not finished")
	l.Turn()
	assert.InEpsilon(t, 900*time.Millisecond, l.Quantile(0.9), 0.04)
	assert.InEpsilon(t, 500*time.Millisecond, l.Quantile(0.5), 0.04)
	for range minutesKept {
		l.Turn()
	}
	assert.Zero(t, l.Quantile(0.9), "forgotten")
	for range leastRequests - 1 {
		l.Add(time.Millisecond)
	}
	l.Turn()
	assert.Zero(t, l.Quantile(0.9), "too few")
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		rate float64
		over bool
	}{{0.0, false}, {0.01, false}, {0.02, false}, {0.04, true}, {0.1, true}, {1, true}} {
		random := seeded(9)
		l := newLimit(0.02)
		l.begin()
		highest := 0.0
		for range 60 {
			for range 200 {
				if random.Float64() < c.rate {
					position := random.Uint64()
					l.add(position)
					l.add(position)
				}
			}
			highest = max(highest, l.counts(200).log)
			l.turn(200)
			highest = max(highest, l.counts(0).log)
		}
		assert.Equal(t, c.over, highest >= math.Log(1000), "%v: %v", c.rate, highest)
		assert.Equal(t, 12000, l.counts(0).callers)
	}
}

// Ten seconds of everything failing are enough.
func TestLimitSeesTheCurrentMinute(t *testing.T) {
	l := newLimit(0.02)
	l.begin()
	for i := range 6 {
		l.add(uint64(i))
	}
	assert.Greater(t, l.counts(6).log, math.Log(1000))
	assert.Less(t, l.counts(600).log, math.Log(10))
}
