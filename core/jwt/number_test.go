package jwt

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzDecimal(f *testing.F) {
	for _, n := range []string{"0", "-0", "1e3", "1000.0", "0.10", "-1.5E-3", "1e400", "12.340e1", "0e99999999", "1e-1025",
		"100", "1e9999999999"} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, number string) {
		if !json.Valid([]byte(number)) || strings.ContainsAny(number, "\"{}[]ntf \t\r\n") || len(number) > 300 {
			return
		}
		text := decimal(number)
		if text == "" {
			return
		}
		if e := strings.IndexAny(number, "eE"); e >= 0 && len(number)-e > 6 { // Rat would compute for ages
			return
		}
		want, ok := new(big.Rat).SetString(number)
		require.True(t, ok)
		got, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		require.Zero(t, want.Cmp(got), "%s became %s", number, text)
		require.False(t, strings.ContainsAny(text, "eE"))
		require.False(t, strings.Contains(text, ".") && strings.HasSuffix(text, "0"), text)
	})
}

func TestDecimalIsBounded(t *testing.T) {
	require.Empty(t, decimal("1e2000"))
	require.Empty(t, decimal("1e-2000"))
	require.Empty(t, decimal(strings.Repeat("9", maxDigits+1)))
	require.Equal(t, "0", decimal("0e999999999999"))
	require.Len(t, decimal("1e1000"), 1001)
}
