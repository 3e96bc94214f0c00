package discover

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUpstreamsByWeight(t *testing.T) {
	repeats := func(weights ...float64) []int {
		var instances []Instance
		for i, w := range weights {
			instances = append(instances, Instance{URL: strconv.Itoa(i), Weight: w})
		}
		counts := make([]int, len(weights))
		for _, u := range Upstreams(instances) {
			i, err := strconv.Atoi(u)
			require.NoError(t, err)
			counts[i]++
		}
		return counts
	}
	require.Equal(t, []int{1, 1}, repeats(0, 0), "without weights all are alike")
	require.Equal(t, []int{1, 1, 1}, repeats(7, 7, 7))
	require.Equal(t, []int{1, 2, 3}, repeats(1, 2, 3))
	require.Equal(t, []int{2, 1}, repeats(10, 5))
	require.Equal(t, []int{1, 100}, repeats(1, 100))
	require.Equal(t, []int{1, 256}, repeats(1, 1e20), "bounded")
	require.Equal(t, []int{1, 1}, repeats(math.Inf(1), math.MaxFloat64))
	require.Equal(t, []int{1, 1, 1}, repeats(0, math.NaN(), 3))
	many := repeats(slices.Repeat([]float64{10}, 1000)...)
	require.Equal(t, slices.Repeat([]int{1}, 1000), many)
}
