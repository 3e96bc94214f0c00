package traefikgray

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// A user's session of v2 survives a look at stable, whose instances are Traefik's.
func TestBalanceByIdentity(t *testing.T) {
	var upstreams []interface{}
	for n := range 3 {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, "v2 at %d", n)
		}))
		t.Cleanup(server.Close)
		upstreams = append(upstreams, server.URL)
	}
	stable := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("v1")) })
	handler := func(t *testing.T, balance string) http.Handler {
		h, err := New(t.Context(), stable, shop(func(c *Config) {
			c.Mode, c.Balance = "proxy", balance
			c.Versions["v2"] = map[string]interface{}{"upstreams": upstreams}
			c.Identity = []string{"header X-User", "ip"}
			c.IPStrategy = &ipStrategy{IPStrategy: core.IPStrategy{Depth: 1}}
		}), "shop-gray@file")
		require.NoError(t, err)
		return h
	}
	ask := func(h http.Handler, header, user, app string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(header, user)
		r.Header.Set("X-App", app)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Body.String()
	}
	for _, header := range []string{"X-User", "X-Forwarded-For"} {
		t.Run(header, func(t *testing.T) {
			h := handler(t, "identity")
			counts := map[string]int{}
			for n := range 300 {
				user := fmt.Sprintf("192.0.%d.%d", n/100, n%100)
				first := ask(h, header, user, "beta")
				require.Equal(t, "v1", ask(h, header, user, ""))
				require.Equal(t, first, ask(h, header, user, "beta"))
				counts[first]++
			}
			require.Len(t, counts, 3)
			for _, count := range counts {
				assert.Greater(t, count, 60)
			}
		})
	}
	t.Run("weights", func(t *testing.T) {
		upstreams[0] = upstreams[0].(string) + " weight=6"
		defer func() { upstreams[0], _, _ = core.SplitWeight(upstreams[0].(string)) }()
		h := handler(t, "turns")
		counts := map[string]int{}
		for range 80 {
			counts[ask(h, "X-User", "u-1", "beta")]++
		}
		assert.Equal(t, map[string]int{"v2 at 0": 60, "v2 at 1": 10, "v2 at 2": 10}, counts)
	})
	t.Run("turns", func(t *testing.T) {
		h := handler(t, "turns")
		seen := map[string]bool{}
		for range 3 {
			seen[ask(h, "X-User", "u-1", "beta")] = true
		}
		assert.Len(t, seen, 3)
	})
}
