package jwt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

const secret = "a secret of thirty-two bytes or more"

// signed returns a token of these two JSON texts, signed with secret.
func signed(header, payload string) string {
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestClaims(t *testing.T) {
	v, err := New(&Config{Secret: secret})
	require.NoError(t, err)
	token := signed(`{"alg":"HS256","typ":"JWT"}`, `{"sub":"u-1","groups":["a","b"],"org":{"plan":"pro","n":1e3}}`)
	for _, line := range []string{"Bearer " + token, "Bearer " + token, "bearer  " + token} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", line)
		set := Claims(v, r)
		require.Equal(t, Verified, set.Reason)
		for path, want := range map[string][]string{"sub": {"u-1"}, "groups": {"a", "b"}, "org.plan": {"pro"},
			"/org/n": {"1000"}, "groups.1": {"b"}, "org": nil} {
			p, err := ParsePath(path)
			require.NoError(t, err)
			require.Equal(t, want, Values(set, p), path)
		}
	}
	require.Equal(t, 1, v.memory.count)
}
