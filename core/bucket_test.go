package core

import (
	"encoding/binary"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const idsOfAShape = 200_000

// shapes are the forms of ids that people bucket by. They are the same in every run.
var shapes = []struct {
	name string
	id   func(i int) string
}{
	{"sequential", strconv.Itoa},
	{"UUID", func(i int) string {
		a, b := scramble(uint64(2*i)), scramble(uint64(2*i+1))
		return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a), uint16(a>>32), uint16(a>>48)&0xfff, uint16(b)&0x3fff|0x8000, b>>16)
	}},
	{"e-mail", func(i int) string {
		first := []string{"anna", "ben", "chen", "dana", "emil", "farah", "gil", "hana"}
		return fmt.Sprintf("%s.%d@mail%d.example", first[i%len(first)], i/len(first), i%3)
	}},
	{"IPv4", func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }},
	{"one-letter prefix", func(i int) string { return string(rune('a'+i%26)) + strconv.Itoa(i/26) }},
}

// scramble is the finaliser of SplitMix64: it spreads consecutive numbers.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// withinBinomial checks that so many of n fit a chance of p: within the 99.9 % bounds, 3.2905
// standard deviations either side.
func withinBinomial(t *testing.T, hits, n int, p float64, about string) {
	t.Helper()
	bound := 3.2905 * math.Sqrt(float64(n)*p*(1-p))
	assert.InDelta(t, float64(n)*p, float64(hits), bound, about)
}

// needsLong leaves the tests of a million ids out of short runs: the race detector makes minutes of
// them and finds nothing.
func needsLong(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("statistics over all ids, not with -short")
	}
}

func TestBucketShares(t *testing.T) {
	needsLong(t)
	for _, shape := range shapes {
		for _, percent := range []float64{0.1, 1, 5, 10, 50} {
			b, hits := newBucket("user-service/v2", percent), 0
			for i := 0; i < idsOfAShape; i++ {
				if takes(b, shape.id(i)) {
					hits++
				}
			}
			withinBinomial(t, hits, idsOfAShape, percent/100, fmt.Sprintf("%g %% of %s", percent, shape.name))
			t.Logf("%-17s %4g %%: %6.3f %%", shape.name, percent, 100*float64(hits)/idsOfAShape)
		}
	}
}

// saltPairs are as near to each other as salts come: versions in a row, services with names alike,
// a letter, a delimiter.
var saltPairs = [][2]string{
	{"shop/v2", "shop/v3"}, {"shop/v2", "cart/v2"}, {"shop/v2", "shop2/v2"}, {"a", "b"}, {"a", "aa"},
	{"1", "2"}, {"", "0"}, {"exp-2026-01", "exp-2026-02"}, {"shop/v2", "shop/v2 "}, {"user-service/v10", "user-service/v1"},
}

func TestBucketsOfSaltsAreIndependent(t *testing.T) {
	needsLong(t)
	for _, shape := range shapes {
		for _, salts := range saltPairs {
			for _, percents := range [][2]float64{{10, 10}, {50, 50}, {5, 50}} {
				a, b, both := newBucket(salts[0], percents[0]), newBucket(salts[1], percents[1]), 0
				for i := 0; i < idsOfAShape; i += 2 { // half the ids: 150 combinations
					id := shape.id(i)
					if takes(a, id) && takes(b, id) {
						both++
					}
				}
				withinBinomial(t, both, idsOfAShape/2, percents[0]*percents[1]/1e4, fmt.Sprintf("%s, %q", shape.name, salts))
			}
		}
	}
}

// Nobody leaves as the percentage grows, and at the ends it is nobody and everybody.
func TestBucketsOnlyGrow(t *testing.T) {
	needsLong(t)
	const steps = 1000
	engines := make([]*Engine, steps+1)
	for step := range engines {
		percent := strconv.FormatFloat(float64(step)/10, 'f', 1, 64)
		engines[step] = engineFor(t, `"identity": ["header X-ID"], "rules": [{"version": "v2", "percent": `+percent+`}]`)
	}
	for _, shape := range shapes {
		for i := 0; i < idsOfAShape; i += 1000 {
			caller := &Caller{Request: request("/", "X-ID: "+shape.id(i))}
			in := false
			for step, e := range engines {
				now := Decide(e, caller).Version == "v2"
				require.False(t, in && !now, "%s left at %.1f %%", shape.id(i), float64(step)/10)
				in = now
				require.False(t, now && step == 0)
			}
			require.True(t, in, "everybody is in at 100 %")
		}
	}
	// And all ids, without the request around them.
	buckets := make([]*bucket, 0, steps)
	for step := 1; step < steps; step++ {
		b := newBucket("shop/v2", float64(step)/10)
		require.Equal(t, b.threshold, binary.BigEndian.Uint64([]byte(b.limit)))
		buckets = append(buckets, b)
	}
	for _, shape := range shapes {
		for i := 0; i < idsOfAShape; i++ {
			at, in := position(buckets[0], shape.id(i)), false
			for step, b := range buckets {
				now := at < b.threshold
				if in && !now {
					t.Fatalf("%s left at %.1f %%", shape.id(i), float64(step+1)/10)
				}
				in = now
			}
		}
	}
}

func TestThreshold(t *testing.T) {
	for percent, want := range map[float64]uint64{
		50: 1 << 63, 25: 1 << 62, 12.5: 1 << 61,
		10:                     1844674407370955162, // 2^64/10 = 1844674407370955161.6
		1:                      184467440737095517,  // ...516.16
		0.1:                    18446744073709552,   // ...551.616
		33.3:                   6142765776545280689,
		99.99999999999999:      18446744073709549772,
		5e-18:                  1, // 0.92...: only the position 0
		1e-300:                 1,
		math.Nextafter(100, 0): 18446744073709549772,
	} {
		assert.Equal(t, want, threshold(percent), "%g %%", percent)
	}
}

func TestBucketIsExactAtTheThreshold(t *testing.T) {
	b := newBucket("shop/v2", 50)
	for i := 0; i < 1000; i++ {
		id := strconv.Itoa(i)
		at := position(b, id)
		for _, c := range []struct {
			threshold uint64
			in        bool
		}{{at, false}, {at + 1, true}, {at - 1, false}} {
			var limit [8]byte
			binary.BigEndian.PutUint64(limit[:], c.threshold)
			assert.Equal(t, c.in, takes(&bucket{prefix: b.prefix, limit: string(limit[:])}, id))
		}
	}
}

// Ids longer than the room that hashing sets aside are hashed as well as short ones.
func TestLongIdentities(t *testing.T) {
	for n := 230; n < 300; n++ {
		id := strings.Repeat("x", n)
		assert.Equal(t, shellPosition(t, "shop/v2", id, n%35 == 0), position(newBucket("shop/v2", 50), id), n)
	}
}

// shellPosition is the position as anybody can compute it; only when asked for, since starting a
// shell takes its time.
func shellPosition(t *testing.T, salt, id string, ask bool) uint64 {
	t.Helper()
	if !ask {
		return position(newBucket(salt, 50), id)
	}
	const line = `printf '%s\0%s' "$1" "$2" | sha256sum | cut -c1-16`
	out, err := exec.Command("sh", "-c", line, "sh", salt, id).Output()
	if err != nil {
		t.Skip("no shell with sha256sum: ", err)
	}
	p, err := strconv.ParseUint(strings.TrimSpace(string(out)), 16, 64)
	require.NoError(t, err)
	return p
}

func TestBucketsAsTheShellComputesThem(t *testing.T) {
	for _, salt := range []string{"user-service/v2", "a salt", ""} {
		for _, id := range []string{"u-1001", "1", "203.0.113.7", "anna@mail.example", "Zoë", `a'b"c\d%s`, "2001:db8::1"} {
			b := newBucket(salt, 5)
			p := shellPosition(t, salt, id, true)
			assert.Equal(t, p, position(b, id), "%q %q", salt, id)
			assert.Equal(t, p < b.threshold, takes(b, id))
			// In percent, as docs/policy.md shows it: the position's place between 0 and 2^64.
			t.Logf("%-18q %-20q %.4f %%", salt, id, float64(p)/(1<<64)*100)
		}
	}
}
