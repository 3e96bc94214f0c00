package traefik_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/e2e/traefik"
)

// A tester's link gives a browser a version in both modes, and an empty one ends it.
func TestTesterLink(t *testing.T) {
	const secret = "a secret of more than 32 bytes, for tests"
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	config := func(mode string) object {
		return gray(object{
			"mode": mode, "service": "shop", "stable": "v1",
			"versions": object{"v1": object{}, "v2": object{"upstreams": []any{v2}}},
			"tester":   object{"secret": secret, "lifetime": "8h"},
			"rules":    []any{object{"version": "v2", "when": []any{"header X-App-Version = beta"}}},
		})
	}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Dynamic: dynamic(
			object{
				"parent": object{"rule": "Host(`header.test`)", "middlewares": []any{"header"}},
				"stable": object{"rule": "PathPrefix(`/`)", "priority": 1, "parentRefs": []any{"parent"}, "service": "v1"},
				"canary": object{"rule": "Header(`X-Gray-Version`, `v2`)", "parentRefs": []any{"parent"}, "service": "v2"},
				"proxy":  object{"rule": "Host(`proxy.test`)", "middlewares": []any{"proxy"}, "service": "v1"},
			},
			object{"header": config("header"), "proxy": config("proxy")},
			object{"v1": server(v1), "v2": server(v2)},
		),
	})
	open := func(t *testing.T, host, query, cookie string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, g.URL+"/cart?"+query, nil)
		require.NoError(t, err)
		r.Host = host
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		return response
	}
	link := func(secret string, until time.Duration) string {
		return "gray=" + core.TesterToken(secret, "shop", "v2", time.Now().Add(until))
	}
	for _, host := range []string{"header.test", "proxy.test"} {
		t.Run(host, func(t *testing.T) {
			assert.Equal(t, "v1", open(t, host, "", "").Header.Get("Served-By"))
			got := open(t, host, link(secret, time.Hour), "")
			assert.Equal(t, "v2", got.Header.Get("Served-By"))
			assert.Equal(t, "v2", got.Header.Get("Got-Version"))
			assert.Contains(t, strings.Join(got.Header["Cache-Control"], ", "), "private")
			cookie, attributes, _ := strings.Cut(got.Header.Get("Set-Cookie"), ";")
			assert.Equal(t, " Path=/; Max-Age=28800; HttpOnly; SameSite=Lax", attributes)

			again := open(t, host, "", cookie)
			assert.Equal(t, "v2", again.Header.Get("Served-By"))
			assert.Empty(t, again.Header["Set-Cookie"])
			ended := open(t, host, "gray=", cookie)
			assert.Equal(t, "v1", ended.Header.Get("Served-By"))
			assert.Contains(t, ended.Header.Get("Set-Cookie"), "Max-Age=0")

			for what, query := range map[string]string{
				"no token":            "gray=v2",
				"another secret":      link("another secret of more than 32 bytes", time.Hour),
				"a link that is over": link(secret, -time.Hour),
			} {
				refused := open(t, host, query, "")
				assert.Equal(t, "v1", refused.Header.Get("Served-By"), what)
				assert.Empty(t, refused.Header["Set-Cookie"], what)
			}
			assert.Equal(t, "v1", open(t, host, "", cookie+"x").Header.Get("Served-By"), "a cookie that was changed")
		})
	}
}
