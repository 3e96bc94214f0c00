package yaegi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

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

	r = httptest.NewRequest("OPTIONS", "/", nil)
	r.Header.Set("Origin", "https://shop.example")
	r.Header.Set("Access-Control-Request-Method", "PUT")
	assert.Empty(t, cookie(nil, r), "a preflight is nobody")
}
