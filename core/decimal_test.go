package core

import (
	"math/big"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseDecimal(t *testing.T) {
	for _, s := range []string{"0", "-0", "+0", "1", "00012", "-1.50", "+3.14", "0.0", strings.Repeat("9", 8192)} {
		_, ok := parseDecimal(s)
		assert.True(t, ok, "%.20q", s)
	}
	for _, s := range []string{"", "+", "-", "--1", "+-1", ".5", "5.", ".", "1.2.3", "1e3", "0x10", "1_000", "1,5", " 1", "1 ", "Inf", "NaN", "١", "1\x00"} {
		_, ok := parseDecimal(s)
		assert.False(t, ok, "%q", s)
	}
}

func TestCompareDecimals(t *testing.T) {
	ascending := []string{
		"-100000000000000000000000000000000000001", "-100000000000000000000000000000000000000", "-10", "-9.5", "-9.45", "-1", "-0.1", "-0.01",
		"0", "0.01", "0.1", "1", "1.0000000000000000000000000000001", "9", "9.45", "9.5", "10", "9007199254740992", "9007199254740993",
		"100000000000000000000000000000000000000", "100000000000000000000000000000000000001",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			assert.Equal(t, sign(i-j), sign(compare(t, a, b)), "%s and %s", a, b)
		}
	}
	for _, same := range [][2]string{{"0", "-0"}, {"0", "+0.000"}, {"1", "01.0"}, {"-1.5", "-001.500"}, {"+2", "2"}} {
		assert.Zero(t, compare(t, same[0], same[1]), "%s and %s", same[0], same[1])
	}
}

// The judge is exact arithmetic on random numbers.
func TestCompareDecimalsLikeBigRat(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	number := func() string {
		s := []string{"", "+", "-"}[random.Intn(3)] + digits(random, 1+random.Intn(4))
		if random.Intn(2) == 0 {
			s += "." + digits(random, 1+random.Intn(3))
		}
		return s
	}
	for i := 0; i < 20000; i++ {
		a, b := number(), number()
		ra, _ := new(big.Rat).SetString(a)
		rb, _ := new(big.Rat).SetString(b)
		require.Equal(t, ra.Cmp(rb), sign(compare(t, a, b)), "%s and %s", a, b)
	}
}

// digits are few enough different ones that equal numbers come up.
func digits(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0019"[random.Intn(4)]
	}
	return string(b)
}

func compare(t *testing.T, a, b string) int {
	t.Helper()
	x, ok := parseDecimal(a)
	require.True(t, ok)
	y, ok := parseDecimal(b)
	require.True(t, ok)
	return compareDecimals(x, y)
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
