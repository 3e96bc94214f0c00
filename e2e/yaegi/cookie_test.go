package yaegi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// Traefik lets nobody but trusted peers say how the client came.
func TestCookie(t *testing.T) {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	gray := yaegi.Load(t, root)
	cookie := func(options map[string]any, r *http.Request) string {
		w := httptest.NewRecorder()
		gray.Handler(t, nothing, policy(
			map[string]any{"anonymous": "cookie", "cookie": options}, map[string]any{"version": "v2", "percent": 50},
		)).ServeHTTP(w, r)
		return w.Header().Get("Set-Cookie")
	}
	r := httptest.NewRequest("GET", "/", nil)
	assert.Regexp(t, `^gray_id=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax$`, cookie(nil, r))

	r = httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	assert.Regexp(t, `^gray_id=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax$`, cookie(nil, r))

	r = httptest.NewRequest("GET", "/", nil)
	assert.Regexp(t, `^who=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=None$`,
		cookie(map[string]any{"name": "who", "same_site": "none", "secure": "always"}, r))

	r = httptest.NewRequest("GET", "/", nil)
	secret := map[string]any{"secret": "a secret of more than 32 bytes, for tests"}
	drawn := cookie(secret, r)
	require.Regexp(t, `^gray_id=[0-9a-f]{32}\.[A-Za-z0-9_-]{43}; Path=/`, drawn)
	signed, _, _ := strings.Cut(drawn, ";")
	for sent, isNew := range map[string]bool{signed: false, "gray_id=u-1": true, signed + "x": true} {
		r = httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", sent)
		assert.Equal(t, isNew, cookie(secret, r) != "", sent)
	}

	// In the chain of identities, a forged one does not decide.
	chain := gray.Handler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Version", r.Header.Get("X-Gray-Version"))
	}), policy(
		map[string]any{"anonymous": "stable", "identity": []any{"cookie gray_id"}, "cookie": secret},
		map[string]any{"version": "v2", "percent": 99.99},
	))
	mac := hmac.New(sha256.New, []byte(secret["secret"].(string)))
	mac.Write([]byte("gray_id\x00u-1"))
	signed = "gray_id=u-1." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	for sent, want := range map[string]string{signed: "v2", "gray_id=u-1": "v1", "gray_id=u-2": "v1"} {
		r = httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", sent)
		w := httptest.NewRecorder()
		chain.ServeHTTP(w, r)
		assert.Equal(t, want, w.Header().Get("Version"), sent)
	}

	r = httptest.NewRequest("OPTIONS", "/", nil)
	r.Header.Set("Origin", "https://shop.example")
	r.Header.Set("Access-Control-Request-Method", "PUT")
	assert.Empty(t, cookie(nil, r), "a preflight is nobody")
}
