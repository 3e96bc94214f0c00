package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	gray "github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/e2e/yaegi"
)

func remembered(t testing.TB) func() {
	v, err := gray.New(&gray.Config{Key: publicPEM(t, "rsa")})
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+typical(t, "RS256"))
	p, err := gray.ParsePath("sub")
	require.NoError(t, err)
	return func() {
		if len(gray.Values(gray.Claims(v, r), p)) != 1 {
			t.Fatal("no claim")
		}
	}
}

func TestRememberedTokensAllocateNothing(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, remembered(t)))
}

func BenchmarkRemembered(b *testing.B) {
	op := remembered(b)
	b.ReportAllocs()
	for b.Loop() {
		op()
	}
}

// bare is the least that a verification with the standard library does: signature, date, claims in
// a map.
func bare(key any, token string) (map[string]any, error) {
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	head, err := base64.RawURLEncoding.DecodeString(token[:first])
	if err != nil {
		return nil, err
	}
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(head, &header); err != nil {
		return nil, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[last+1:])
	if err != nil {
		return nil, err
	}
	if !isSigned(key, []byte(token[:last]), signature) {
		return nil, errors.New("signature")
	}
	body, err := base64.RawURLEncoding.DecodeString(token[first+1 : last])
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		return nil, err
	}
	if exp, isNumber := claims["exp"].(float64); !isNumber || time.Now().Unix() >= int64(exp) {
		return nil, errors.New("expired")
	}
	return claims, nil
}

func isSigned(key any, input, signature []byte) bool {
	digest := sha256.Sum256(input)
	switch k := key.(type) {
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write(input)
		return hmac.Equal(mac.Sum(nil), signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(k, input, signature)
	}
	return false
}

// TestCompareFirstSight prints the cost of a token at first sight, and of a bare verification of
// the same tokens.
func TestCompareFirstSight(t *testing.T) {
	if !*compare {
		t.Skip("figures only: -compare prints them")
	}
	const rounds, n = 21, 200
	again := remembered(t)
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		key, _ := keyFor(t, algorithm)
		public := key
		cfg := &gray.Config{Secret: secret}
		if signer, ok := key.(crypto.Signer); ok {
			public = signer.Public()
			cfg = &gray.Config{Key: publicPEM(t,
				map[string]string{"RS256": "rsa", "ES256": "p256", "EdDSA": "ed25519"}[algorithm])}
		}
		v, err := gray.New(cfg)
		require.NoError(t, err)
		all := make([]string, rounds*n)
		for i := range all {
			all[i] = typicalOf(t, algorithm, i)
		}
		next := [2]int{}
		take := func(k int) string {
			token := all[next[k]]
			next[k]++
			return token
		}
		timings := yaegi.Compare(rounds, n,
			yaegi.Variant{Name: algorithm + " bare", Op: func() {
				if _, err := bare(public, take(0)); err != nil {
					t.Error(err)
				}
			}},
			yaegi.Variant{Name: algorithm + " first sight", Op: func() {
				if gray.ClaimsOf(v, take(1)).Reason != gray.Verified {
					t.Error("refused")
				}
			}},
			yaegi.Variant{Name: "remembered", Op: again})
		t.Logf("\n%s", timings)
	}
}
