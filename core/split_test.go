package core

import (
	"fmt"
	"math/big"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layoutOf returns the ranges of a split as text, in 2^64ths scaled to percent.
func layoutOf(shares map[string]float64) string {
	var ranges []string
	for _, p := range newSplit("s", shares, "r", "v1").portions {
		percent := func(at *big.Int) string {
			exact := new(big.Rat).SetFrac(new(big.Int).Mul(at, big.NewInt(100)), new(big.Int).Lsh(big.NewInt(1), 64))
			return withoutEndZeros(exact.FloatString(3))
		}
		ranges = append(ranges, fmt.Sprintf("%s %s-%s", p.decision.Version, percent(p.begin), percent(p.end)))
	}
	return strings.Join(ranges, ", ")
}

func TestSplitLayout(t *testing.T) {
	for want, shares := range map[string]map[string]float64{
		"v2 0-33":                                {"v2": 33},
		"v2 0-33, v3 67-100":                     {"v2": 33, "v3": 33},
		"v2 0-33.3, v3 33.3-100":                 {"v2": 33.3, "v3": 66.7},
		"v9 0-10, v10 80-100":                    {"v10": 20, "v9": 10},
		"v3 80-100":                              {"v2": 0, "v3": 20},
		"v2 0-10, v3 90-100, v4 45-55":           {"v2": 10, "v3": 10, "v4": 10},
		"v2 0-48, v3 90-100, v4 48-58":           {"v2": 48, "v3": 10, "v4": 10},
		"v2 0-10, v3 52-100, v4 42-52":           {"v2": 10, "v3": 48, "v4": 10},
		"v2 0-5, v3 95-100, v4 45-55, v5 20-40":  {"v2": 5, "v3": 5, "v4": 10, "v5": 20},
		"v2 0-25, v3 75-100, v4 50-75, v5 25-50": {"v2": 25, "v3": 25, "v4": 25, "v5": 25},
		"v2 0-0.001, v3 99.999-100":              {"v2": 0.001, "v3": 0.001},
	} {
		assert.Equal(t, want, layoutOf(shares))
	}
}

// At the ends the ranges meet without a gap, and the shares are exact.
func TestSplitIsExact(t *testing.T) {
	s := newSplit("s", map[string]float64{"v2": 33.3, "v3": 66.7}, "r", "v1")
	require.Equal(t, s.portions[0].high, s.portions[1].low)
	require.Empty(t, s.portions[1].high, "2^64")
	require.Equal(t, threshold(33.3), s.portions[0].end.Uint64())
	one := newSplit("shop/v2", map[string]float64{"v2": 12.345}, "r", "v1")
	require.Equal(t, newBucket("shop/v2", 12.345).limit, one.portions[0].high, "one version is a percentage")
	require.Equal(t, string(make([]byte, 8)), one.portions[0].low)
}

// sampled is what a split gives at positions all over the line.
func sampled(shares map[string]float64) []string {
	const samples = 4000
	s := newSplit("s", shares, "r", "v1")
	given := make([]string, samples)
	for i := range given {
		at := new(big.Int).Lsh(big.NewInt(int64(2*i+1)), 64)
		at.Quo(at, big.NewInt(2*samples))
		text := positionBytes(at)
		for _, p := range s.portions {
			if text >= p.low && (p.high == "" || text < p.high) {
				given[i] = p.decision.Version
			}
		}
	}
	return given
}

// Nobody goes back to stable when a share grows, and nobody changes between two versions where
// there are two. Where there are more, those change whom the growing range, or one that it pushes,
// has grown into: never more than the growth at each border.
func TestSplitsOnlyGrow(t *testing.T) {
	random := rand.New(rand.NewSource(1)) // #nosec G404
	for round := 0; round < 200; round++ {
		n := 1 + random.Intn(6)
		shares := map[string]float64{}
		left := 1000
		for i := 0; i < n; i++ {
			tenths := random.Intn(left/2 + 1)
			left -= tenths
			shares[fmt.Sprintf("v%d", i+2)] = float64(tenths) / 10
		}
		grown := fmt.Sprintf("v%d", random.Intn(n)+2)
		growth := float64(random.Intn(left+1)) / 10
		before := sampled(shares)
		raised := map[string]float64{}
		for name, share := range shares {
			raised[name] = share
		}
		raised[grown] += growth
		moved := 0.0
		for i, after := range sampled(raised) {
			if before[i] == after {
				continue
			}
			require.NotEmpty(t, after, "%v back to stable by %s +%v", shares, grown, growth)
			if before[i] == "" {
				continue
			}
			require.Greater(t, n, 2, "%v: from %s to %s", shares, before[i], after)
			moved += 100.0 / float64(len(before))
		}
		require.LessOrEqual(t, moved, growth*float64(n-1)+0.5, "%v by %s +%v", shares, grown, growth)
		require.InDelta(t, raised[grown], shareIn(sampled(raised), grown), 0.1)
	}
}

func shareIn(given []string, version string) float64 {
	n := 0
	for _, v := range given {
		if v == version {
			n++
		}
	}
	return float64(n) * 100 / float64(len(given))
}

// There is room for a third each, or 20 % each of four or five.
func TestRoomOfSplits(t *testing.T) {
	for n, room := range map[int]float64{2: 50, 3: 33.3, 4: 20, 5: 20} {
		var shares []map[string]float64
		for _, percent := range []float64{1, room / 2, room} {
			all := map[string]float64{}
			for i := 0; i < n; i++ {
				all[fmt.Sprintf("v%d", i+2)] = percent
			}
			shares = append(shares, all)
		}
		for i := 1; i < len(shares); i++ {
			after := sampled(shares[i])
			for k, before := range sampled(shares[i-1]) {
				require.True(t, before == "" || before == after[k], "%v, %v", shares[i-1], shares[i])
			}
		}
	}
}

// A version that is added after the others begins with nobody's callers but stable's.
func TestSplitTakesAnotherVersion(t *testing.T) {
	before := sampled(map[string]float64{"v9": 30, "v10": 30})
	for i, after := range sampled(map[string]float64{"v9": 30, "v10": 30, "v11": 30}) {
		if before[i] != after {
			require.Equal(t, "v11", after)
			require.Empty(t, before[i])
		}
	}
}

func TestSplitOrder(t *testing.T) {
	require.Equal(t, []string{"a", "a2", "a10"},
		splitOrder(map[string]float64{"a10": 0, "a2": 0, "a": 0}))
	require.Equal(t, []string{"v2", "v2-rc1", "v9", "v10"},
		splitOrder(map[string]float64{"v10": 0, "v9": 0, "v2-rc1": 0, "v2": 0}))
	require.Equal(t, []string{"1.02", "1.2", "1.10"}, splitOrder(map[string]float64{"1.10": 0, "1.2": 0, "1.02": 0}))
}

// Overlays: a withdrawn version gives its callers to the rules after, the others keep theirs.
func TestWithdrawnVersionOfASplit(t *testing.T) {
	e, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}, "v3": {}},
		"identity": ["header X-ID"], "rules": [{"name": "canaries", "split": {"v2": 30, "v3": 30}}]}`))
	require.NoError(t, err)
	without := e.With(Overlay{Withdrawn: []string{"v3"}, Percent: map[string]float64{"canaries": 100}})
	kept := e.With(Overlay{Withdrawn: []string{"v3"}, Keep: []string{"canaries"}})
	require.Equal(t, map[string]bool{"v1": true, "v2": true, "v3": true}, Reachable(e))
	require.Equal(t, map[string]bool{"v1": true, "v2": true}, Reachable(without))
	require.Equal(t, []string{"X-Id"}, Vary(e))
	seen := map[string]int{}
	for i := 0; i < 1000; i++ {
		caller := func() *Caller { return &Caller{Request: request("/", fmt.Sprintf("X-ID: u-%d", i))} }
		was, now := Decide(e, caller()), Decide(without, caller())
		seen[was.Version]++
		want := was.Version
		if want == "v3" {
			want = "v1"
			x := Explain(without, caller())
			require.True(t, x.Rules[0].Withdrawn)
			require.Equal(t, "v3", x.Rules[0].Version)
			require.Empty(t, now.Rule)
		}
		require.Equal(t, want, now.Version)
		require.Equal(t, was.Version, Decide(kept, caller()).Version)
		c := caller()
		Decide(e, c)
		_, at, ok := Asked(c)
		require.True(t, ok)
		x := Explain(e, caller())
		require.Equal(t, was.Version, x.Version)
		require.Equal(t, fmt.Sprint(at), x.Rules[0].Bucket.Position)
		require.Len(t, x.Rules[0].Bucket.Ranges, 2)
	}
	require.InDelta(t, 300, seen["v2"], 60)
	require.InDelta(t, 300, seen["v3"], 60)
}

// Two rules of a third are not a split in thirds: the second takes a third of those whom the first
// leaves, and of them those who are the lowest by its own salt.
func TestSeparateRulesAreNoSplit(t *testing.T) {
	shares := func(rules string) (v2, v3 float64) {
		e, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}, "v3": {}},
			"identity": ["header X-ID"], "rules": [` + rules + `]}`))
		require.NoError(t, err)
		var given []string
		for i := 0; i < 40000; i++ {
			given = append(given, Decide(e, &Caller{Request: request("/", fmt.Sprintf("X-ID: u-%d", i))}).Version)
		}
		return shareIn(given, "v2"), shareIn(given, "v3")
	}
	v2, v3 := shares(`{"version": "v2", "percent": 33}, {"version": "v3", "percent": 33}`)
	assert.InDelta(t, 33, v2, 1)
	assert.InDelta(t, 22.1, v3, 1)
	v2, v3 = shares(`{"split": {"v2": 33, "v3": 33}}`)
	assert.InDelta(t, 33, v2, 1)
	assert.InDelta(t, 33, v3, 1)
}
