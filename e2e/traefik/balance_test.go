package traefik_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/traefik"
)

// With balance identity a caller keeps the instance of the canary without a cookie, whoever else
// comes, and few callers move when an instance goes.
func TestBalanceByIdentity(t *testing.T) {
	names := []string{"a", "b", "c"}
	var urls []any
	for _, name := range names {
		urls = append(urls, upstream(t, name))
	}
	config := func(upstreams []any) object {
		return dynamic(
			object{"r": object{"rule": "Host(`shop.test`)", "middlewares": []any{"gray"}, "service": "v1"}},
			object{"gray": gray(object{
				"mode": "proxy", "balance": "identity", "service": "shop", "stable": "v1", "identity": []any{"cookie uid"},
				"versions": object{"v1": object{}, "v2": object{"upstreams": upstreams}},
				"rules":    []any{object{"version": "v2", "when": []any{"header X-App-Version = beta"}}},
			})},
			object{"v1": server(upstream(t, "v1"))},
		)
	}
	g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: config(urls)})
	served := func(user string, headers ...string) string {
		response := get(t, g, "shop.test", append(headers, "Cookie", "uid="+user)...)
		assert.Empty(t, response.Header["Set-Cookie"])
		return response.Header.Get("Served-By")
	}
	before := map[string]string{}
	for n := range 60 {
		user := fmt.Sprintf("u-%d", n)
		before[user] = served(user, "X-App-Version", "beta")
		assert.Equal(t, "v1", served(user), "plain")
		assert.Equal(t, before[user], served(user, "X-App-Version", "beta"), "and back")
	}
	g.Apply(t, config(urls[:2]))
	moved := 0
	for user, instance := range before {
		now := served(user, "X-App-Version", "beta")
		if instance != "c" {
			require.Equal(t, instance, now, "only callers of the instance that went move")
			continue
		}
		moved++
		require.Contains(t, names[:2], now)
	}
	assert.Positive(t, moved)
}
