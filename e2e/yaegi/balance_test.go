package yaegi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/proxy"
	"github.com/grayrelease/gray/e2e/yaegi"
)

// Interpreted, the plugin finds the same instance for a caller as compiled gateways do.
func TestBalanceByIdentity(t *testing.T) {
	var upstreams []any
	for range 3 {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(r.Context().Value(http.LocalAddrContextKey).(fmt.Stringer).String()))
		}))
		t.Cleanup(server.Close)
		upstreams = append(upstreams, server.URL)
	}
	handler := yaegi.Load(t, root).Handler(t, http.NotFoundHandler(), map[string]any{
		"mode": "proxy", "balance": "identity", "service": "shop", "stable": "v1",
		"versions": map[string]any{"v1": "", "v2": map[string]any{"upstreams": upstreams}},
		"identity": []any{"cookie uid", "ip"},
		"rules":    []any{map[string]any{"version": "v2"}},
	})
	for n := range 50 {
		user := fmt.Sprintf("u-%d", n)
		want, most := "", uint64(0)
		for _, u := range upstreams {
			address := strings.TrimPrefix(u.(string), "http://")
			if c := proxy.Closeness(proxy.Places(address, 1), proxy.HashIdentity(user)); c > most {
				want, most = address, c
			}
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "uid", Value: user})
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, want, w.Body.String())
	}
}
