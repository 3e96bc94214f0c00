package jwt

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func verifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := New(&Config{Secret: secret})
	require.NoError(t, err)
	return v
}

func numbered(i int, more string) string {
	return signed(`{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"u-%d"%s}`, i, more))
}

func TestMemoryIsBounded(t *testing.T) {
	v := verifier(t)
	for i := range maxRemembered + 100 {
		require.Equal(t, Verified, ClaimsOf(v, numbered(i, "")).Reason)
	}
	require.Equal(t, maxRemembered, v.memory.count)
	require.Len(t, v.seen, maxRemembered)
	require.Nil(t, v.seen["Bearer "+numbered(99, "")], "the oldest went first")
	require.NotNil(t, v.seen["Bearer "+numbered(100, "")])
}

func TestMemoryIsBoundedInBytes(t *testing.T) {
	v := verifier(t)
	long := fmt.Sprintf(`,"x":%q`, strings.Repeat("x", 11000))
	for i := range 2 * maxRememberedBytes / len(long) {
		require.Equal(t, Verified, ClaimsOf(v, numbered(i, long)).Reason)
	}
	require.LessOrEqual(t, v.memory.bytes, maxRememberedBytes)
	require.Greater(t, v.memory.bytes, maxRememberedBytes-20000)
}

func TestBadTokensAreNotRemembered(t *testing.T) {
	v := verifier(t)
	good := numbered(1, "")
	require.Equal(t, Verified, ClaimsOf(v, good).Reason)
	for i := range 1000 {
		require.Equal(t, Malformed, ClaimsOf(v, fmt.Sprint(good, ".", i)).Reason)
		require.Equal(t, Signature, ClaimsOf(v, signed(fmt.Sprintf(`{"alg":"HS256","x":%d}`, i), "{}")+"AAAA").Reason)
	}
	require.Equal(t, 1, v.memory.count)
	require.Len(t, v.memory.headers, 1)
	require.NotNil(t, v.seen["Bearer "+good])
}

func TestRememberedTokensExpire(t *testing.T) {
	v := verifier(t)
	now := time.Unix(1000, 0)
	v.SetClock(func() time.Time { return now })
	for i := range 10 {
		require.Equal(t, Verified, ClaimsOf(v, numbered(i, `,"exp":2000`)).Reason)
	}
	now = time.Unix(1999, 0)
	require.Equal(t, Verified, ClaimsOf(v, numbered(1, `,"exp":2000`)).Reason)
	now = time.Unix(2000, 0)
	require.Equal(t, Expired, ClaimsOf(v, numbered(1, `,"exp":2000`)).Reason)
	for i := range 9 {
		require.Equal(t, Verified, ClaimsOf(v, numbered(i, `,"exp":3000`)).Reason)
	}
	require.Equal(t, 9, v.memory.count, "what has expired makes room")
}

func TestMemoryUnderLoad(t *testing.T) {
	v := verifier(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range 500 {
				set := ClaimsOf(v, numbered(i%50, ""))
				if p := Values(set, "sub"); len(p) != 1 || p[0] != fmt.Sprintf("u-%d", i%50) {
					t.Errorf("%v", p)
				}
			}
		}()
	}
	wait.Wait()
	require.Equal(t, 50, v.memory.count)
}
